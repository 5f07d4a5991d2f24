//! A snapshot as commands: the base file under `aof-use-rdb-preamble no`.
//!
//! Collections are written in commands of at most 64 elements, as Redis does, so that replaying one is a short step.

use quorate_collections::text::INT_TEXT_MAX;
use quorate_keyspace::{DbIndex, Image, ImageSink, StrRef, ValueRef};

/// Elements in one command. Source: AOF_REWRITE_ITEMS_PER_CMD.
const ITEMS_PER_COMMAND: usize = 64;

/// Encodes a snapshot as commands in RESP. What is drained are the file's bytes.
#[derive(Debug, Default)]
pub struct CommandWriter {
    bytes: Vec<u8>,
    db: Option<DbIndex>,
}

impl CommandWriter {
    /// Starts with an annotation or nothing at all.
    pub fn new(annotation: Vec<u8>) -> Self {
        CommandWriter { bytes: annotation, db: None }
    }

    fn command(&mut self, args: &[StrRef<'_>]) {
        put_command(&mut self.bytes, args);
    }

    /// Commands of `name key` and up to 64 elements of `width` arguments each.
    fn elements<'a>(&mut self, name: &[u8], key: &[u8], width: usize, args: impl Iterator<Item = StrRef<'a>>) {
        let head = [StrRef::Bytes(name), StrRef::Bytes(key)];
        let mut command = head.to_vec();
        for arg in args {
            command.push(arg);
            if command.len() == head.len() + ITEMS_PER_COMMAND * width {
                self.command(&command);
                command.truncate(head.len());
            }
        }
        if command.len() > head.len() {
            self.command(&command);
        }
    }
}

impl ImageSink for CommandWriter {
    fn image(&mut self, image: Image<'_>) {
        if self.db != Some(image.db) {
            self.db = Some(image.db);
            self.command(&[StrRef::Bytes(b"SELECT"), StrRef::Int(i64::from(image.db.0))]);
        }
        match image.value {
            ValueRef::String(text) => self.command(&[StrRef::Bytes(b"SET"), StrRef::Bytes(image.key), text]),
            ValueRef::List(list) => self.elements(b"RPUSH", image.key, 1, list.iter()),
            ValueRef::Set(set) => self.elements(b"SADD", image.key, 1, set.iter()),
            ValueRef::Hash(hash) => {
                let pairs = hash.iter().flat_map(|(field, value)| [field, value]);
                self.elements(b"HSET", image.key, 2, pairs);
            }
            ValueRef::Zset(zset) => {
                let scores: Vec<String> = zset.iter().map(|(_, score)| score_text(score)).collect();
                let pairs = zset.iter().zip(&scores);
                let pairs = pairs.flat_map(|((member, _), score)| [StrRef::Bytes(score.as_bytes()), member]);
                self.elements(b"ZADD", image.key, 2, pairs);
            }
        }
        if let Some(expiry) = image.expiry {
            let at = i64::try_from(expiry.0).unwrap_or(i64::MAX);
            self.command(&[StrRef::Bytes(b"PEXPIREAT"), StrRef::Bytes(image.key), StrRef::Int(at)]);
        }
    }

    fn finish(&mut self) {}

    fn pending(&self) -> usize {
        self.bytes.len()
    }

    fn drain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// Text that reads back as the same score.
fn score_text(score: f64) -> String {
    if score.is_infinite() {
        return if score > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    format!("{score}")
}

fn put_command(out: &mut Vec<u8>, args: &[StrRef<'_>]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    let mut digits = [0; INT_TEXT_MAX];
    for arg in args {
        let text = arg.text(&mut digits);
        out.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    }
}
