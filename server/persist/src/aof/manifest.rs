//! `appendonly.aof.manifest`: which files make up the log, and in which order.

/// What a file of the log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The dataset at the moment of the last rewrite.
    Base,
    /// Commands since.
    Incr,
    /// Replaced by a rewrite, to be deleted.
    History,
}

/// One line of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its name inside the directory: no slash in it.
    pub name: String,
    /// Its number among its kind.
    pub seq: u64,
    /// What it is for.
    pub kind: Kind,
}

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The base file, if there was a rewrite.
    pub base: Option<LogFile>,
    /// Incremental files, by ascending number; the last is the one that is appended to.
    pub incrs: Vec<LogFile>,
    /// Files to delete.
    pub history: Vec<LogFile>,
}

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("AOF manifest line {line}: {what}")]
pub struct ManifestError {
    /// From 1.
    pub line: usize,
    /// What was wrong.
    pub what: &'static str,
}

impl Manifest {
    /// Reads a manifest.
    pub fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        let _ = text;
        todo!()
    }

    /// Its text, as Redis writes it.
    pub fn encode(&self) -> String {
        todo!()
    }

    /// Adds the next incremental file of the log `basename` (`appendfilename`) and returns its name.
    pub fn open_incr(&mut self, basename: &str) -> String {
        let _ = basename;
        todo!()
    }

    /// Makes a new base of the log `basename`, whose state is that before the incremental file `first_kept`: everything
    /// older becomes history. Returns the base's name.
    pub fn replace_base(&mut self, basename: &str, first_kept: &str, format: BaseFormat) -> String {
        let _ = (basename, first_kept, format);
        todo!()
    }
}

/// How a base file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseFormat {
    /// `aof-use-rdb-preamble yes`.
    Rdb,
    /// Commands.
    Commands,
}
