//! A small shop in CSV files, and the binary to run on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The built binary, ready for arguments.
pub(crate) fn twinmart(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinmart"));
    command.args(arguments);
    command
}

/// Runs the binary and waits.
pub(crate) fn run(arguments: &[&str]) -> Output {
    twinmart(arguments).output().expect("the binary starts")
}

/// Runs the binary and demands success.
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "twinmart {} failed: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("UTF-8 output")
}

/// A shop with three tastes: 60 users, 30 items, about 900 events in baskets.
pub(crate) fn write_shop(folder: &Path) -> PathBuf {
    let mut users = String::from("user_id,country\n");
    let mut items = String::from("item_id,price\n");
    let mut events = String::from("user_id,item_id,time,basket,quantity\n");
    for item in 0..30 {
        items += &format!("i{item:02},{}.50\n", item + 1);
    }
    // A fixed linear congruential sequence: the shop is the same everywhere.
    let mut state = 1u64;
    let mut next = |n: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % n
    };
    for user in 0..60 {
        users += &format!("{},{}\n", 100 + user, ["FR", "DE", "UK"][user % 3]);
        for basket in 0..2 + next(4) {
            let day = 1 + basket * 5 + next(4);
            for line in 0..2 + next(4) {
                let item = (user as u64 % 3) * 10 + next(10).min(next(10));
                events += &format!(
                    "{},i{item:02},2024-01-{day:02} 10:{line:02}:00,b{user}-{basket},{}\n",
                    100 + user,
                    1 + next(5)
                );
            }
        }
    }
    for (name, text) in [("users.csv", users), ("items.csv", items), ("events.csv", events)] {
        std::fs::write(folder.join(name), text).expect("a writable folder");
    }
    let project = folder.join("twinmart.toml");
    std::fs::write(&project, PROJECT).expect("a writable folder");
    project
}

/// The project file of the small shop.
const PROJECT: &str = r#"[project]
name = "small shop"
seed = 5

[tables.users]
role = "users"
key = "user_id"
source = "users.csv"

[tables.items]
role = "items"
key = "item_id"
source = "items.csv"

[tables.events]
role = "events"
time = "time"
source = "events.csv"

[tables.events.references]
user_id = "users.user_id"
item_id = "items.item_id"

[tables.events.columns]
basket = { kind = "group" }

[split]
holdout_users = 0.25
"#;
