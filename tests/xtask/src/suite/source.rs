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

/// `apt-get source redis` from the archive that the machine's packages come from, with lists and caches of its own: the machine's are left alone.
fn fetch(cache: &Path) -> io::Result<()> {
    let apt = cache.join("apt");
    for folder in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(apt.join(folder))?;
    }
    let lines = debian_sources(&configured()?);
    if lines.is_empty() {
        return Err(io::Error::other("the tests come from Debian's archive, and apt knows none here"));
    }
    std::fs::write(apt.join("sources.list"), lines.join("\n") + "\n")?;
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

/// What apt is configured with.
fn configured() -> io::Result<String> {
    let folder = Path::new("/etc/apt");
    let mut files = vec![folder.join("sources.list")];
    for entry in std::fs::read_dir(folder.join("sources.list.d"))? {
        files.push(entry?.path());
    }
    files.sort();
    // Each of them may be missing; a stanza ends with an empty line.
    Ok(files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect::<Vec<_>>().join("\n\n"))
}

/// The same archive's sources, in one line each, of everything in apt's configuration that is Debian's own main archive. Both of its formats are read.
fn debian_sources(configured: &str) -> Vec<String> {
    let is_debians = |uri: &str| uri.trim_end_matches('/').ends_with("/debian");
    let mut lines = Vec::new();
    for line in configured.lines().filter_map(|line| line.strip_prefix("deb ")) {
        if line.split_whitespace().any(is_debians) {
            lines.push(format!("deb-src {}", line.trim()));
        }
    }
    for stanza in configured.split("\n\n") {
        let field = |name: &str| {
            let value = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_default().trim()
        };
        let options = Some(field("Signed-By")).filter(|keys| !keys.is_empty());
        let options = options.map(|keys| format!("[signed-by={keys}] ")).unwrap_or_default();
        for uri in field("URIs").split_whitespace().filter(|uri| is_debians(uri)) {
            for suite in field("Suites").split_whitespace() {
                lines.push(format!("deb-src {options}{uri} {suite} {}", field("Components")));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::debian_sources;

    fn check(configured: &str, expected: &[&str]) {
        assert_eq!(debian_sources(configured), expected, "{configured}");
    }

    #[test]
    fn sources_are_where_the_packages_are() {
        check("", &[]);
        check("deb http://a.example/debian bookworm main\n", &["deb-src http://a.example/debian bookworm main"]);
        check("# deb http://a.example/debian bookworm main\ndeb https://b.example/apt stable main\n", &[]);
        check(
            "deb [signed-by=/k] http://a.example/debian/ trixie main contrib",
            &["deb-src [signed-by=/k] http://a.example/debian/ trixie main contrib"],
        );
        check(
            "Types: deb\n# a remark\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k\n\n\
             Types: deb\nURIs: http://a.example/debian-security\nSuites: bookworm-security\nComponents: main\n",
            &[
                "deb-src [signed-by=/k] http://a.example/debian bookworm main",
                "deb-src [signed-by=/k] http://a.example/debian bookworm-updates main",
            ],
        );
    }
}
