//! Redis's tests: fetched once as Debian's source package, unpacked under the target directory, made ready for a server that is not Redis 7.0.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The empty file that marks a folder made ready.
const MARK: &str = ".ready";

/// What is changed in the unpacked tests, and why: file, text, new text.
const CHANGES: &[(&str, &str, &str)] = &[
    // Directives of ours that cannot be set at run time, as the ones in this list.
    (
        "unit/introspection.tcl",
        "            socket-mark-id\n",
        "            socket-mark-id\n            group\n            secret\n            agent-port\n            tags\n",
    ),
    // A small list or set is a listpack since Redis 7.2; these are the tests of 7.0.
    (
        "support/test.tcl",
        "    set val [r object encoding $key]\n",
        "    set val [r object encoding $key]\n    if {$val eq {listpack} && [r type $key] in {list set} && $enc in {quicklist hashtable}} { return }\n",
    ),
    // A test that broke off leaves neither a transaction nor a switch behind that the next ones would stumble over.
    (
        "support/test.tcl",
        "            set msg [string range $error 10 end]\n            lappend details $msg\n            if {!$assertion} {",
        "            if {$::external} { catch {r discard}; catch {r debug set-active-expire 1} }\n            set msg [string range $error 10 end]\n            lappend details $msg\n            if {!$assertion} {",
    ),
];

/// The folder that `tests/test_helper.tcl` is run from.
pub fn ready(cache: &Path) -> io::Result<PathBuf> {
    let suite = match unpacked(cache)? {
        Some(suite) => suite,
        None => {
            fetch(cache)?;
            unpacked(cache)?.ok_or_else(|| io::Error::other("the source package holds no tests"))?
        }
    };
    let mark = suite.join(MARK);
    if !mark.exists() {
        for (file, from, to) in CHANGES {
            let path = suite.join("tests").join(file);
            let text = std::fs::read_to_string(&path)?;
            if text.matches(from).count() != 1 {
                return Err(io::Error::other(format!("{} is not what was expected: {from}", path.display())));
            }
            std::fs::write(&path, text.replacen(from, to, 1))?;
        }
        std::fs::write(mark, [])?;
    }
    Ok(suite)
}

fn unpacked(cache: &Path) -> io::Result<Option<PathBuf>> {
    std::fs::create_dir_all(cache)?;
    for entry in std::fs::read_dir(cache)? {
        let path = entry?.path();
        if path.join("tests/test_helper.tcl").is_file() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// `apt-get source redis`, with lists and caches of its own: the machine's are left alone.
fn fetch(cache: &Path) -> io::Result<()> {
    let release = std::fs::read_to_string("/etc/os-release")?;
    let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let name =
        name.ok_or_else(|| io::Error::other("the tests come from Debian's archive: /etc/os-release names no release"))?;
    let apt = cache.join("apt");
    for folder in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(apt.join(folder))?;
    }
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let line = format!("deb-src [signed-by={keys}] http://deb.debian.org/debian {name} main\n");
    std::fs::write(apt.join("sources.list"), line)?;
    let settings = [
        format!("Dir::Etc::SourceList={}", apt.join("sources.list").display()),
        "Dir::Etc::SourceParts=-".to_owned(),
        format!("Dir::State::Lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.join("cache").display()),
        "APT::Sandbox::User=root".to_owned(),
    ];
    for words in [&["update"][..], &["source", "redis"]] {
        let mut command = Command::new("apt-get");
        command.arg("-qq").current_dir(cache);
        for setting in &settings {
            command.args(["-o", setting]);
        }
        if !command.args(words).status()?.success() {
            return Err(io::Error::other(format!("apt-get {} failed (is dpkg-dev installed?)", words.join(" "))));
        }
    }
    Ok(())
}
