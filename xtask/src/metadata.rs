//! The part of `cargo metadata` that the checks read.

use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;

/// All packages that any feature on any platform can bring in, and the graph between them.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// Every package once for each version.
    pub(crate) packages: Vec<Package>,
    /// The ids of our own packages.
    pub(crate) workspace_members: HashSet<String>,
    /// Which package uses which.
    pub(crate) resolve: Resolve,
}

/// One package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Name in the registry.
    pub(crate) name: String,
    /// Version.
    pub(crate) version: String,
    /// Unique name within the metadata.
    pub(crate) id: String,
    /// The SPDX expression of its manifest.
    pub(crate) license: Option<String>,
    /// Where it comes from; none for our own.
    pub(crate) source: Option<String>,
}

/// The dependency graph.
#[derive(Debug, Deserialize)]
pub(crate) struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

impl Metadata {
    /// Asks cargo. Fails where Cargo.lock does not fit the manifests.
    pub(crate) fn read(root: &Path) -> Result<Metadata, String> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
            .current_dir(root)
            .output()
            .map_err(|e| format!("cargo metadata: {e}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))
    }

    /// Our own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|p| self.workspace_members.contains(&p.id))
    }

    /// Everybody else's.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|p| !self.workspace_members.contains(&p.id))
    }

    /// Names of the packages that `package` uses itself: normal, build and test dependencies.
    pub(crate) fn direct(&self, package: &Package) -> Vec<&str> {
        let (names, edges) = (self.names(), self.edges());
        edges
            .get(package.id.as_str())
            .into_iter()
            .copied()
            .flatten()
            .filter_map(|id| names.get(id.as_str()).copied())
            .collect()
    }

    /// Names of all packages that `package` uses, directly or not.
    pub(crate) fn reachable(&self, package: &Package) -> HashSet<&str> {
        let (names, edges) = (self.names(), self.edges());
        let mut seen: HashSet<&str> = HashSet::new();
        let mut open = vec![package.id.as_str()];
        while let Some(id) = open.pop() {
            for next in edges.get(id).into_iter().copied().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen.into_iter().filter_map(|id| names.get(id).copied()).collect()
    }

    fn names(&self) -> HashMap<&str, &str> {
        self.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect()
    }

    fn edges(&self) -> HashMap<&str, &Vec<String>> {
        self.resolve.nodes.iter().map(|n| (n.id.as_str(), &n.dependencies)).collect()
    }
}

#[cfg(test)]
pub(crate) mod example {
    //! Small graphs for the tests of the checks.

    use super::*;

    /// Packages `(name, licence, source, dependencies)`; a package without a source is a member. Ids are the names.
    pub(crate) fn metadata(packages: &[(&str, &str, Option<&str>, &[&str])]) -> Metadata {
        Metadata {
            packages: packages
                .iter()
                .map(|(name, license, source, _)| Package {
                    name: (*name).into(),
                    version: "1.0.0".into(),
                    id: (*name).into(),
                    license: (!license.is_empty()).then(|| (*license).into()),
                    source: source.map(Into::into),
                })
                .collect(),
            workspace_members: packages.iter().filter(|p| p.2.is_none()).map(|p| p.0.into()).collect(),
            resolve: Resolve {
                nodes: packages
                    .iter()
                    .map(|(name, _, _, uses)| Node {
                        id: (*name).into(),
                        dependencies: uses.iter().map(|d| (*d).into()).collect(),
                    })
                    .collect(),
            },
        }
    }

    #[test]
    fn reach_follows_the_graph() {
        let m = metadata(&[
            ("a", "MIT", None, &["b"]),
            ("b", "MIT", None, &["c"]),
            ("c", "MIT", Some("r"), &["b"]),
            ("d", "MIT", Some("r"), &[]),
        ]);
        assert_eq!(m.direct(&m.packages[0]), ["b"]);
        assert_eq!(m.reachable(&m.packages[0]), HashSet::from(["b", "c"]));
        assert_eq!(m.members().count(), 2);
        assert_eq!(m.dependencies().count(), 2);
    }
}
