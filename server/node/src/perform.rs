//! Carries out the engine's effects. Each kind of work has its own place: disk and links in rooms of their own, memory to
//! be freed on a thread, the rest here.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use mio::net::TcpStream;
use quorate_engine::{Closing, Effect, Engine, Level, Memory, SessionId};
use socket2::{SockRef, TcpKeepalive};

/// What is left for the loop to do after an effect.
#[derive(Debug)]
pub(crate) enum After {
    Nothing,
    /// The engine was told something: another turn is due.
    Again,
    Close(SessionId, Closing),
    Leave(i32),
}

/// Carries out effects.
#[derive(Debug)]
pub(crate) struct Performer {
    config_file: Option<PathBuf>,
    memory: mpsc::Sender<Memory>,
}

impl Performer {
    pub fn new(config_file: Option<PathBuf>) -> io::Result<Performer> {
        let (memory, discarded) = mpsc::channel::<Memory>();
        thread::Builder::new().name("free".to_owned()).spawn(move || discarded.into_iter().for_each(drop))?;
        Ok(Performer { config_file, memory })
    }

    /// Carries out one effect.
    pub fn perform(&mut self, engine: &mut Engine, effect: Effect) -> After {
        match effect {
            Effect::Close { id, how } => return After::Close(id, how),
            Effect::Shutdown(shutdown) => return After::Leave(shutdown.code),
            // The thread lives as long as the sender: an error cannot be, and would only free here.
            Effect::Free(memory) => drop(self.memory.send(memory)),
            Effect::Sleep(time) => thread::sleep(time),
            Effect::Log(level, line) => log(level, &line),
            Effect::RewriteConfig { id } => {
                let outcome = self.rewrite_config(engine);
                engine.config_rewritten(id, outcome);
                return After::Again;
            }
            Effect::Disk(_) | Effect::Link(_) | Effect::Answer { .. } | Effect::Apply(_) => {}
        }
        After::Nothing
    }

    /// `tcp-keepalive`: the first probe after this many seconds of silence, then every third of it, three in all.
    /// Source: Redis, anetKeepAlive. 0 leaves the socket alone.
    pub fn keep_alive(&self, stream: &TcpStream, seconds: u32) {
        if seconds == 0 {
            return;
        }
        let time = Duration::from_secs(seconds.into());
        let keepalive =
            TcpKeepalive::new().with_time(time).with_interval((time / 3).max(Duration::from_secs(1))).with_retries(3);
        let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    }

    /// CONFIG REWRITE: a whole new file beside the old one, then a rename, so that a full disk loses nothing.
    fn rewrite_config(&self, engine: &Engine) -> Result<(), String> {
        let Some(path) = &self.config_file else {
            return Err("The server is running without a config file".to_owned());
        };
        rewrite(path, |old| engine.config().rewrite(old)).map_err(|error| format!("Rewriting config file: {error}"))
    }
}

fn rewrite(path: &Path, new_text: impl FnOnce(&str) -> String) -> io::Result<()> {
    let old = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = (|| {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(new_text(&old).as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(dir)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn log(level: Level, line: &str) {
    match level {
        Level::Debug => tracing::trace!("{line}"),
        Level::Verbose => tracing::debug!("{line}"),
        Level::Notice => tracing::info!("{line}"),
        Level::Warning => tracing::warn!("{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_replaces_the_file_or_leaves_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("redis.conf");
        rewrite(&path, |old| format!("{old}port 1\n")).expect("made");
        rewrite(&path, |old| format!("{old}port 2\n")).expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("text"), "port 1\nport 2\n");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1, "no temporary file stays");
        assert!(rewrite(&dir.path().join("missing/redis.conf"), |old| old.to_owned()).is_err());
    }
}
