//! Which crate may depend on which: data flow from left to right, a crate knows only what lies to its left.
//!
//! The rule holds for test dependencies too, so that light crates compile and test without the heavy ones.

use crate::metadata::Metadata;
use std::collections::HashMap;

/// Each crate with the crates that it may use. `ARCHITECTURE.md` says why.
const LAYERS: &[(&str, &[&str])] = &[
    ("twinmart-tables", &[]),
    ("twinmart-privacy", &["twinmart-tables"]),
    ("twinmart-sources", &["twinmart-tables", "twinmart-privacy"]),
    ("twinmart-encode", &["twinmart-tables", "twinmart-privacy"]),
    ("twinmart-nets", &["twinmart-tables"]),
    ("twinmart-density", &["twinmart-tables", "twinmart-encode", "twinmart-nets"]),
    ("twinmart-events", &["twinmart-tables", "twinmart-privacy", "twinmart-nets"]),
    ("twinmart-gan", &["twinmart-tables", "twinmart-encode", "twinmart-nets", "twinmart-events"]),
    (
        "twinmart-synth",
        &[
            "twinmart-tables",
            "twinmart-privacy",
            "twinmart-encode",
            "twinmart-nets",
            "twinmart-density",
            "twinmart-events",
            "twinmart-gan",
        ],
    ),
    ("twinmart-rank", &["twinmart-tables", "twinmart-privacy", "twinmart-encode", "twinmart-events"]),
    ("twinmart-assess", &["twinmart-tables", "twinmart-privacy", "twinmart-encode", "twinmart-rank"]),
    (
        "twinmart",
        &[
            "twinmart-tables",
            "twinmart-privacy",
            "twinmart-sources",
            "twinmart-encode",
            "twinmart-nets",
            "twinmart-density",
            "twinmart-events",
            "twinmart-gan",
            "twinmart-synth",
            "twinmart-rank",
            "twinmart-assess",
        ],
    ),
    ("xtask", &[]),
];

/// Packages that take minutes to compile, each with the one crate that may use it.
const HEAVY: &[(&str, &str)] = &[("datafusion", "twinmart-sources")];

/// Every dependency that breaks the rule.
pub(crate) fn problems(metadata: &Metadata) -> Vec<String> {
    let layers: HashMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut problems = Vec::new();
    for member in metadata.members() {
        let name = member.name.as_str();
        let Some(allowed) = layers.get(name) else {
            problems.push(format!("{name} has no layer; add it to LAYERS in xtask/src/layers.rs"));
            continue;
        };
        let direct = metadata.direct(member);
        for used in direct.iter().filter(|d| layers.contains_key(*d) && !allowed.contains(d)) {
            problems.push(format!("{name} may not depend on {used}"));
        }
        let reachable = metadata.reachable(member);
        for (heavy, owner) in HEAVY {
            if name != *owner && direct.contains(heavy) {
                problems.push(format!("{name} may not depend on {heavy}; only {owner} may"));
            } else if name != *owner && !allowed.contains(owner) && reachable.contains(heavy) {
                problems.push(format!("{name} pulls in {heavy} through another package"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::example::metadata;

    const REGISTRY: Option<&str> = Some("registry");

    #[test]
    fn each_crate_uses_only_crates_before_it() {
        for (position, (name, uses)) in LAYERS.iter().enumerate() {
            for used in *uses {
                assert!(LAYERS[..position].iter().any(|(n, _)| n == used), "{name} uses {used}, which stands after it");
            }
        }
    }

    #[test]
    fn the_right_way_passes() {
        let m = metadata(&[
            ("twinmart-tables", "", None, &[]),
            ("twinmart-sources", "", None, &["twinmart-tables", "datafusion"]),
            ("twinmart", "", None, &["twinmart-sources", "twinmart-tables"]),
            ("datafusion", "MIT", REGISTRY, &[]),
        ]);
        assert_eq!(problems(&m), Vec::<String>::new());
    }

    #[test]
    fn each_breach_is_named() {
        let m = metadata(&[
            ("twinmart-tables", "", None, &["twinmart-rank"]),
            ("twinmart-rank", "", None, &["datafusion"]),
            ("twinmart-synth", "", None, &["wrapper"]),
            ("newcomer", "", None, &[]),
            ("wrapper", "MIT", REGISTRY, &["datafusion"]),
            ("datafusion", "MIT", REGISTRY, &[]),
        ]);
        assert_eq!(
            problems(&m),
            [
                "twinmart-tables may not depend on twinmart-rank",
                "twinmart-tables pulls in datafusion through another package",
                "twinmart-rank may not depend on datafusion; only twinmart-sources may",
                "twinmart-synth pulls in datafusion through another package",
                "newcomer has no layer; add it to LAYERS in xtask/src/layers.rs",
            ]
        );
    }
}
