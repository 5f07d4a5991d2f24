//! The readiness loop over real sockets: pipelines, pieces, half-closed peers, slow readers.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use quorate_config::ServerConfig;

/// Starts one node for this test process; it lives as long as the process.
fn node() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        // It lives as long as the process, so that nobody could remove it afterwards: each run begins it anew.
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sockets");
        let _ = fs::remove_dir_all(&dir); // there is none the first time
        fs::create_dir_all(&dir).expect("a directory");
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").port();
        let mut config = ServerConfig { port, dir: dir.display().to_string(), ..ServerConfig::default() };
        config.bind.0 = vec!["127.0.0.1".to_owned()];

        thread::spawn(move || quorate_node::run(config, None).expect("the node runs"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the node does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        port
    })
}

fn connect() -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", node())).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

fn expect(stream: &mut TcpStream, text: &str) {
    let mut got = vec![0; text.len()];
    stream.read_exact(&mut got).expect("a reply within 20 s");
    assert_eq!(String::from_utf8_lossy(&got), text);
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let mut stream = connect();
    let mut request = Vec::new();
    let mut reply = String::new();
    for n in 0..10_000 {
        request.extend_from_slice(format!("*2\r\n$4\r\nECHO\r\n$5\r\n{n:05}\r\n").as_bytes());
        reply.push_str(&format!("$5\r\n{n:05}\r\n"));
    }
    let mut writer = stream.try_clone().expect("a second handle");
    let sending = thread::spawn(move || writer.write_all(&request).expect("sent"));
    expect(&mut stream, &reply);
    sending.join().expect("sent");
}

#[test]
fn a_request_may_arrive_in_pieces() {
    let mut stream = connect();
    stream.set_nodelay(true).expect("no delay");
    for byte in b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\nPING\r\n" {
        stream.write_all(&[*byte]).expect("sent");
    }
    expect(&mut stream, "$2\r\nhi\r\n+PONG\r\n");
}

#[test]
fn a_half_closed_client_still_gets_its_replies() {
    let mut stream = connect();
    stream.write_all(b"PING\r\nPING\r\n").expect("sent");
    stream.shutdown(Shutdown::Write).expect("half closed");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("replies, then the end");
    assert_eq!(text, "+PONG\r\n+PONG\r\n");
}

#[test]
fn a_slow_reader_gets_everything_and_stops_nobody() {
    let mut slow = connect();
    let value = "x".repeat(1 << 20);
    for _ in 0..64 {
        slow.write_all(format!("*2\r\n$4\r\nECHO\r\n${}\r\n{value}\r\n", value.len()).as_bytes()).expect("sent");
    }
    let mut other = connect();
    other.write_all(b"PING\r\n").expect("sent");
    expect(&mut other, "+PONG\r\n");
    for _ in 0..64 {
        expect(&mut slow, &format!("${}\r\n{value}\r\n", value.len()));
    }
}

/// Large values are read to where they lie: what they are, what stands around them, and who sends at the same time must not matter.
#[test]
fn large_values_arrive_as_they_were_sent() {
    let load = |name: &'static str| {
        let mut stream = connect();
        let mut writer = stream.try_clone().expect("a second handle");
        let texts: Vec<Vec<u8>> = [32_767, 32_768, 65_530, 300_000, 1 << 20, 5 << 20]
            .iter()
            .map(|len| name.bytes().chain((0..).map(|n: u32| (n * 7 % 251) as u8)).take(*len).collect())
            .collect();
        let mut request = Vec::new();
        for text in &texts {
            let len = text.len();
            request.extend(format!("PING\r\n*5\r\n$4\r\nMSET\r\n$3\r\n{name}1\r\n${len}\r\n").into_bytes());
            request.extend(text);
            request.extend(format!("\r\n$3\r\n{name}2\r\n${len}\r\n").into_bytes());
            request.extend(text);
            request.extend(format!("\r\nMGET {name}1 {name}2\r\n").into_bytes());
        }
        let sending = thread::spawn(move || writer.write_all(&request).expect("sent"));
        for text in &texts {
            expect(&mut stream, "+PONG\r\n+OK\r\n*2\r\n");
            for _ in 0..2 {
                expect(&mut stream, &format!("${}\r\n", text.len()));
                let mut got = vec![0; text.len()];
                stream.read_exact(&mut got).expect("a value within 20 s");
                assert!(got == *text, "{} bytes", text.len());
                expect(&mut stream, "\r\n");
            }
        }
        sending.join().expect("sent");
    };
    let loads: Vec<_> = ["in", "of"].into_iter().map(|name| thread::spawn(move || load(name))).collect();
    // Who leaves in the middle of one is forgotten.
    let mut leaver = connect();
    leaver.write_all(b"*3\r\n$3\r\nSET\r\n$4\r\nleft\r\n$1000000\r\n").expect("sent");
    leaver.write_all(&[b'x'; 900_000]).expect("sent");
    drop(leaver);
    loads.into_iter().for_each(|load| load.join().expect("all arrived"));
    let mut last = connect();
    last.write_all(b"EXISTS left\r\n").expect("sent");
    expect(&mut last, ":0\r\n");
}

/// Large values are sent from where they lie: a reader that is slow gets them as they were, whatever becomes of their keys.
#[test]
fn a_slow_reader_gets_large_values_as_they_were() {
    let (mut slow, mut other) = (connect(), connect());
    for (size, count) in [(1 << 20, 32), (20_000, 500)] {
        for (then, reply) in [("DEL large", ":1"), ("SETRANGE large 7 y", &format!(":{size}")), ("FLUSHALL", "+OK")] {
            let value = "x".repeat(size);
            other
                .write_all(format!("*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n${size}\r\n{value}\r\n").as_bytes())
                .expect("sent");
            expect(&mut other, "+OK\r\n");
            slow.write_all("GET large\r\n".repeat(count).as_bytes()).expect("sent");
            slow.write_all(b"PING\r\n").expect("sent");
            // Once something comes, the commands that came along have run.
            let whole = format!("${size}\r\n{value}\r\n");
            expect(&mut slow, &whole[..1]);
            other.write_all(format!("{then}\r\n").as_bytes()).expect("sent");
            expect(&mut other, &format!("{reply}\r\n"));
            expect(&mut slow, &whole[1..]);
            for _ in 1..count {
                expect(&mut slow, &whole);
            }
            expect(&mut slow, "+PONG\r\n");
        }
    }
}

#[test]
fn a_protocol_error_is_told_and_ends_the_connection() {
    let mut stream = connect();
    stream.write_all(b"*1\r\n$x\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an error, then the end");
    assert_eq!(text, "-ERR Protocol error: invalid bulk length\r\n");
}

#[test]
fn many_clients_come_and_go() {
    for _ in 0..5 {
        let mut crowd: Vec<TcpStream> = (0..200).map(|_| connect()).collect();
        for stream in &mut crowd {
            stream.write_all(b"PING\r\n").expect("sent");
        }
        for stream in &mut crowd {
            expect(stream, "+PONG\r\n");
        }
    }
}
