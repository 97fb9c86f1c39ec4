//! The supply chain: what may be linked into Twinmart, where it may come from, what may not come in at all.

use crate::metadata::{Metadata, Package};
use crate::spdx::Expression;
use std::collections::{BTreeMap, BTreeSet};

/// Licences that ask for no more than a notice. A dependency must be usable under these alone.
const ACCEPTED_LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    // Boost. Not BUSL, the Business Source Licence, which is no open-source licence.
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Zlib",
];

/// The only origin. No git repositories: a registry version cannot change after the fact.
const ACCEPTED_ORIGIN: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Packages that must not come in, and why.
const BANNED: &[(&str, &str)] = &[
    ("evalexpr", "AGPL since version 12; conditions are SQL"),
    ("native-tls", "links the system's TLS; use rustls"),
    ("openssl-sys", "links the system's OpenSSL; use rustls"),
    ("opendp", "privacy mechanisms are our own, small and reviewed"),
    ("openblas-src", "needs a system BLAS; linear algebra is faer"),
    ("intel-mkl-src", "not open source; linear algebra is faer"),
];

/// Everything that is wrong with the dependencies.
pub(crate) fn problems(metadata: &Metadata) -> Vec<String> {
    metadata.dependencies().flat_map(|p| [licence_problem(p), origin_problem(p), ban_problem(p)]).flatten().collect()
}

fn licence_problem(package: &Package) -> Option<String> {
    let Some(text) = &package.license else {
        return Some(format!("{} {} states no licence", package.name, package.version));
    };
    match Expression::parse(text) {
        Ok(expression) if expression.met_by(ACCEPTED_LICENCES) => None,
        Ok(_) => Some(format!("{} {}: the licence `{text}` is not accepted", package.name, package.version)),
        Err(error) => Some(format!("{} {}: unreadable licence `{text}`: {error}", package.name, package.version)),
    }
}

fn origin_problem(package: &Package) -> Option<String> {
    match package.source.as_deref() {
        Some(ACCEPTED_ORIGIN) => None,
        Some(other) => Some(format!("{} {} comes from {other}, not from crates.io", package.name, package.version)),
        None => Some(format!("{} {} is a folder outside the workspace", package.name, package.version)),
    }
}

fn ban_problem(package: &Package) -> Option<String> {
    let (name, reason) = BANNED.iter().find(|(name, _)| *name == package.name)?;
    Some(format!("{name} {} is banned: {reason}", package.version))
}

/// For information: how many packages, under which licences, and which come in several versions.
pub(crate) fn summary(metadata: &Metadata) -> String {
    let mut licences: BTreeMap<&str, usize> = BTreeMap::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata.dependencies() {
        *licences.entry(package.license.as_deref().unwrap_or("none")).or_default() += 1;
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let mut lines = vec![format!("{} packages on all platforms", metadata.dependencies().count())];
    lines.extend(licences.iter().map(|(licence, count)| format!("{count:>5}  {licence}")));
    let several: Vec<String> = versions
        .iter()
        .filter(|(_, v)| v.len() > 1)
        .map(|(name, v)| format!("{name} ({})", v.iter().copied().collect::<Vec<_>>().join(", ")))
        .collect();
    lines.push(format!("in several versions: {}", if several.is_empty() { "none".into() } else { several.join(", ") }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::example::metadata;

    const REGISTRY: Option<&str> = Some(ACCEPTED_ORIGIN);

    #[test]
    fn good_dependencies_pass_and_our_own_are_not_judged() {
        let m = metadata(&[
            ("ours", "", None, &["a", "b"]),
            ("a", "MIT/GPL-3.0-only", REGISTRY, &[]),
            ("b", "ISC", REGISTRY, &[]),
        ]);
        assert_eq!(problems(&m), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_named() {
        let m = metadata(&[
            ("a", "MIT AND GPL-3.0-only", REGISTRY, &[]),
            ("b", "MIT", Some("git+https://example.org/b"), &[]),
            ("c", "", REGISTRY, &[]),
            ("d", "MIT OR", REGISTRY, &[]),
            ("evalexpr", "MIT", REGISTRY, &[]),
        ]);
        let found = problems(&m);
        let expected =
            ["`MIT AND GPL-3.0-only` is not accepted", "not from crates.io", "no licence", "unreadable", "banned"];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (problem, part) in found.iter().zip(expected) {
            assert!(problem.contains(part), "{problem} does not say {part}");
        }
    }

    #[test]
    fn summary_names_packages_in_several_versions() {
        let mut m = metadata(&[("a", "MIT", REGISTRY, &[]), ("a", "MIT", REGISTRY, &[]), ("b", "MIT", REGISTRY, &[])]);
        m.packages[1].version = "2.0.0".into();
        let text = summary(&m);
        assert!(text.contains("3 packages") && text.contains("in several versions: a (1.0.0, 2.0.0)"), "{text}");
        assert!(!text.contains("b ("), "{text}");
    }
}
