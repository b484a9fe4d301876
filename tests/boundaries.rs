//! Where in the source things may happen. The compiler and clippy cannot see these; reading the text can.
//!
//! Only the code of the programs counts: whatever follows `#[cfg(test)]` in a file, and files whose name says that they
//! are for tests, may do as they like.

mod circles;

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::support::source;

/// One rule: these words may not occur in these folders, except in these files.
struct Rule {
    what: &'static str,
    folders: &'static [&'static str],
    words: &'static [&'static str],
    except: &'static [&'static str],
}

const PROGRAMS: &[&str] = &[
    "control-plane/src",
    "data-plane/src",
    "guard/src",
    "outbound/src",
    "standalone/src",
    "locks/src",
    "telemetry/src",
];

const RULES: &[Rule] = &[
    Rule {
        what: "every lock that a thread waits for has a rank",
        folders: PROGRAMS,
        words: &["PoisonError", "RwLock", "parking_lot"],
        except: &["locks/src/lib.rs"],
    },
    Rule {
        what: "one place of each plane opens sockets to others, behind the guard",
        folders: PROGRAMS,
        words: &[
            "TcpStream::connect",
            "TcpSocket::",
            "UdpSocket",
            "UnixStream",
            "HttpConnector",
            "reqwest",
        ],
        except: &[
            "data-plane/src/deliver/connect.rs",
            "control-plane/src/fetch.rs",
            // It listens.
            "control-plane/src/incoming/listen.rs",
        ],
    },
    Rule {
        what: "only a node's link, and the demo as a caller, open a channel to the control plane",
        folders: PROGRAMS,
        words: &[
            "Endpoint::from_shared",
            "Endpoint::from_static",
            "Endpoint::new",
        ],
        except: &[
            "data-plane/src/link.rs",
            "data-plane/src/link/",
            "standalone/src/demo/scene.rs",
            // Its endpoints are those that are delivered to.
            "data-plane/src/deliver/pool.rs",
        ],
    },
    Rule {
        what: "names are looked up by the guard alone",
        folders: PROGRAMS,
        words: &["lookup_host", "to_socket_addrs", "hickory_resolver"],
        except: &["guard/src/"],
    },
    Rule {
        what: "a node keeps nothing on disk and knows no database",
        folders: &["data-plane/src"],
        words: &["sqlx", "fs::write", "File::create", "OpenOptions"],
        except: &[],
    },
    Rule {
        what: "SQL is the store's",
        folders: &["control-plane/src"],
        words: &["sqlx"],
        except: &["control-plane/src/store.rs", "control-plane/src/store/"],
    },
    Rule {
        what: "the wire stops at the door: messages are read and written by the services and at the streams alone",
        folders: &["control-plane/src"],
        words: &["posthorn::v1", "posthorn::node", "posthorn::{"],
        except: &[
            "control-plane/src/rpc.rs",
            "control-plane/src/rpc/",
            "control-plane/src/server.rs",
            // By the contract's descriptors.
            "control-plane/src/audit/diff.rs",
            "control-plane/src/dispatch/holders/node",
            "control-plane/src/dispatch/holders/consumer",
            "control-plane/src/inbound/head.rs",
            "control-plane/src/inbound/posted.rs",
            "control-plane/src/inbound/reply.rs",
            "control-plane/src/inbound/settings.rs",
            "control-plane/src/inbound/stream.rs",
        ],
    },
    Rule {
        what: "a node speaks its own protocol, and nothing of what callers use",
        folders: &["data-plane/src"],
        words: &["posthorn::v1"],
        except: &[],
    },
    Rule {
        what: "the store knows no gRPC",
        folders: &["control-plane/src/store.rs", "control-plane/src/store"],
        words: &["tonic::"],
        except: &[],
    },
    Rule {
        what: "what is pure waits for nothing",
        folders: &[
            "control-plane/src/model",
            "control-plane/src/inbound/content.rs",
            "control-plane/src/inbound/judge.rs",
            "control-plane/src/retry.rs",
            "control-plane/src/sign.rs",
        ],
        words: &["async fn", ".await", "tokio", "sqlx", "tonic::", "std::fs"],
        except: &[],
    },
    Rule {
        what: "the planes do not know each other",
        folders: &["control-plane/src"],
        words: &["posthorn_data_plane"],
        except: &[],
    },
    Rule {
        what: "the planes do not know each other",
        folders: &["data-plane/src"],
        words: &["posthorn_control_plane"],
        except: &[],
    },
    Rule {
        what: "tests wait for conditions and never sleep",
        folders: &["tests"],
        words: &["sleep("],
        except: &["tests/boundaries.rs"],
    },
];

#[test]
fn the_source_keeps_to_its_boundaries() {
    let mut breaches = Vec::new();
    for rule in RULES {
        for folder in rule.folders {
            for path in rust_files(&source().join(folder)) {
                breaches.extend(check(rule, &path));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

/// How long a file may be that is no table, in lines: beyond that it has more than one subject.
const FILE_LINES_MAX: usize = 400;
/// Tables, which are as long as what they list.
const TABLES: &[&str] = &[
    "control-plane/src/store/tests/plan.rs",
    "control-plane/src/store/tests/schema.rs",
    "tests/registry/limits_of_sources.rs",
];

#[test]
fn no_file_is_longer_than_a_reader_bears() {
    let root = source();
    let folders = circles::CRATES.iter().chain(&["tests"]);
    let long = folders.flat_map(|folder| all_rust_files(&root.join(folder)));
    let long = long.filter_map(|path| {
        let lines = fs::read_to_string(&path).ok()?.lines().count();
        let name = path
            .strip_prefix(&root)
            .ok()?
            .to_string_lossy()
            .into_owned();
        let is_table = TABLES.contains(&name.as_str());
        (lines > FILE_LINES_MAX && !is_table).then(|| format!("{name}: {lines} lines"))
    });
    let long = long.collect::<Vec<_>>();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

fn check(rule: &Rule, path: &Path) -> Vec<String> {
    let name = path
        .strip_prefix(source())
        .expect("it was found in there")
        .to_string_lossy()
        .into_owned();
    if rule.except.iter().any(|except| name.starts_with(except)) {
        return Vec::new();
    }
    let text = fs::read_to_string(path).expect("source is readable UTF-8");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code = (1..).zip(text.lines());
    let code = code.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.flat_map(|(number, line)| {
        let words = rule.words.iter().filter(move |word| line.contains(**word));
        let name = name.clone();
        words.map(move |word| format!("{name}:{number}: `{word}`, but {}", rule.what))
    })
    .collect()
}

/// All source files of a folder but those for tests, or the file itself.
fn rust_files(path: &Path) -> Vec<PathBuf> {
    let for_tests = ["tests.rs", "testing.rs", "fixture.rs"];
    let is_for_tests = |path: &Path| {
        for_tests
            .iter()
            .any(|end| path.to_string_lossy().ends_with(end))
    };
    let mut files = all_rust_files(path);
    files.retain(|path| !is_for_tests(path));
    files
}

/// All source files of a folder, or the file itself.
fn all_rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        let counts = path.extension().is_some_and(|extension| extension == "rs");
        return counts.then(|| path.to_owned()).into_iter().collect();
    }
    let entries = fs::read_dir(path);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let paths = entries.map(|entry| entry.expect("a folder can be read").path());
    paths.flat_map(|path| all_rust_files(&path)).collect()
}
