//! `cargo xtask deps`: licenses, banned crates, duplicate versions and sources, held against `deny.toml`.
//!
//! It does offline, in a second, what cargo-deny does after ten minutes of building it; the file keeps cargo-deny's format, so that
//! whoever has that tool can run it. Advisories need their database and are cargo-deny's alone.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{Metadata, Package, PackageId};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

#[derive(Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Named>,
    skip: Vec<Named>,
    #[serde(rename = "skip-tree")]
    skip_tree: Vec<Named>,
}

#[derive(Deserialize)]
struct Sources {
    #[serde(rename = "allow-registry")]
    allow_registry: Vec<String>,
}

/// `name` or `name@version prefix`, with the reason that every exception owes.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "crate")]
    spec: String,
    reason: String,
}

impl Named {
    fn names(&self, package: &Package) -> bool {
        let (name, version) = self.spec.split_once('@').unwrap_or((&self.spec, ""));
        let full = package.version.to_string();
        let fits = full == version || version.is_empty() || full.starts_with(&format!("{version}."));
        package.name.as_str() == name && fits
    }
}

/// What breaks the rules, one line each.
pub fn check(metadata: &Metadata) -> Vec<String> {
    let rules: Rules = toml::from_str(include_str!("../../../deny.toml")).expect("deny.toml has cargo-deny's format");
    let outside: Vec<&Package> = metadata.packages.iter().filter(|package| package.source.is_some()).collect();
    let mut faults = licenses(&rules.licenses, &outside);
    faults.extend(banned(&rules.bans, &outside));
    faults.extend(duplicates(&rules.bans, metadata, &outside));
    faults.extend(strangers(&rules.sources, &outside));
    faults
}

fn licenses(rules: &Licenses, outside: &[&Package]) -> Vec<String> {
    let allowed: Vec<Licensee> =
        rules.allow.iter().map(|id| Licensee::parse(id).expect("deny.toml allows SPDX names")).collect();
    let fault = |package: &&Package| {
        let Some(text) = &package.license else {
            return Some(format!("{} {} names no license", package.name, package.version));
        };
        let expression = match Expression::parse_mode(text, ParseMode::LAX) {
            Ok(expression) => expression,
            Err(error) => {
                return Some(format!("{} {}: license '{text}': {}", package.name, package.version, error.reason));
            }
        };
        let fits = expression.evaluate(|required| allowed.iter().any(|licensee| licensee.satisfies(required)));
        (!fits).then(|| format!("{} {}: license '{text}' is not allowed", package.name, package.version))
    };
    outside.iter().filter_map(fault).collect()
}

fn banned(rules: &Bans, outside: &[&Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for ban in &rules.deny {
        let found = outside.iter().filter(|package| ban.names(package));
        faults.extend(found.map(|package| format!("{} {} is banned: {}", package.name, package.version, ban.reason)));
    }
    for named in rules.deny.iter().chain(&rules.skip).chain(&rules.skip_tree) {
        if named.reason.trim().is_empty() {
            faults.push(format!("deny.toml: '{}' gives no reason", named.spec));
        }
    }
    faults
}

/// Two versions of a crate, beyond those excused by themselves (`skip`) or as part of somebody's tree (`skip-tree`).
fn duplicates(rules: &Bans, metadata: &Metadata, outside: &[&Package]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut excused: BTreeSet<&PackageId> = BTreeSet::new();
    for named in rules.skip.iter().chain(&rules.skip_tree) {
        let found: Vec<&PackageId> =
            outside.iter().filter(|package| named.names(package)).map(|package| &package.id).collect();
        if found.is_empty() {
            faults.push(format!("deny.toml excuses '{}', which is not there any more", named.spec));
        }
        excused.extend(found);
    }
    let roots = outside.iter().filter(|package| rules.skip_tree.iter().any(|named| named.names(package)));
    excused.extend(below(metadata, roots.map(|package| &package.id).collect()));
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for package in outside.iter().filter(|package| !excused.contains(&package.id)) {
        versions.entry(package.name.as_str()).or_default().push(package.version.to_string());
    }
    let twice = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    faults
        .extend(twice.map(|(name, versions)| format!("{name} is there in several versions: {}", versions.join(", "))));
    faults
}

/// Everything that these packages depend on.
fn below<'a>(metadata: &'a Metadata, mut open: Vec<&'a PackageId>) -> BTreeSet<&'a PackageId> {
    let resolve = metadata.resolve.as_ref().expect("metadata was asked for with dependencies");
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(nodes[id].deps.iter().map(|next| &next.pkg));
        }
    }
    seen
}

fn strangers(rules: &Sources, outside: &[&Package]) -> Vec<String> {
    let known = |package: &Package| {
        let source = package.source.as_ref().map_or("", |source| source.repr.as_str());
        rules.allow_registry.iter().any(|registry| source == format!("registry+{registry}"))
    };
    let strangers = outside.iter().filter(|package| !known(package));
    strangers.map(|package| format!("{} {} does not come from crates.io", package.name, package.version)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_the_rules_is_named() {
        let metadata = crate::metadata();
        let outside: Vec<&Package> = metadata.packages.iter().filter(|package| package.source.is_some()).collect();
        assert!(!licenses(&Licenses { allow: vec!["Zlib".into()] }, &outside).is_empty());
        let named = |spec: &str| Named { spec: spec.into(), reason: "because".into() };
        let bans = Bans { deny: vec![named("tokio@1")], skip: vec![named("nosuch")], skip_tree: Vec::new() };
        assert!(banned(&bans, &outside)[0].starts_with("tokio 1."));
        let twice = duplicates(&bans, &metadata, &outside);
        assert!(twice.iter().any(|fault| fault.starts_with("prost is there in several versions: 0.1")), "{twice:?}");
        assert!(twice.contains(&"deny.toml excuses 'nosuch', which is not there any more".to_owned()));
        assert_eq!(strangers(&Sources { allow_registry: Vec::new() }, &outside).len(), outside.len());
    }
}
