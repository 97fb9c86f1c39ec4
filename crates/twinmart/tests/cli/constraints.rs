//! Rules that every row keeps, from the proposal to the twin.

use crate::shop::{run, succeed};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// 900 orders whose total is price times quantity; open orders have no payment.
fn write_orders(folder: &Path) -> PathBuf {
    let path = folder.join("orders.csv");
    let row = |i: usize| {
        let (cents, quantity) = (100 + i * 7919 % 900, 1 + i * 31 % 4);
        let total = cents * quantity;
        let (status, paid) =
            if i.is_multiple_of(3) { ("open", String::new()) } else { ("paid", (1 + i * 17 % 90).to_string()) };
        format!("{}.{:02},{quantity},{}.{:02},{status},{paid}\n", cents / 100, cents % 100, total / 100, total % 100)
    };
    let rows: String = (0..900).map(row).collect();
    fs::write(&path, format!("price,quantity,total,status,paid\n{rows}")).unwrap();
    path
}

/// Rows of a twin in which the total is not the product, or an open order is paid.
fn broken(twin: &Path) -> usize {
    let cents = |text: &str| (text.parse::<f64>().unwrap() * 100.0).round() as i64;
    let text = fs::read_to_string(twin).unwrap();
    let wrong = |line: &&str| {
        let cells: Vec<&str> = line.split(',').collect();
        let product = cents(cells[0]) * cells[1].parse::<i64>().unwrap();
        product != cents(cells[2]) || (cells[3] == "open" && !cells[4].is_empty())
    };
    assert!(text.lines().count() > 1);
    text.lines().skip(1).filter(wrong).count()
}

#[test]
fn proposed_rules_hold_in_the_twin() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model, twin) = (write_orders(dir.path()), dir.path().join("m.twin"), dir.path().join("twin.csv"));
    let [data, model_text, twin_text] = [&data, &model, &twin].map(|p| p.to_str().unwrap());
    let told: Value = serde_json::from_str(&succeed(&["profile", data, "--json"])).unwrap();
    let rules: Vec<&str> =
        told["tables"][0]["constraints"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
    assert!(rules.contains(&"total = price * quantity"), "{rules:?}");
    assert!(rules.contains(&"if status = 'open' then paid is missing"), "{rules:?}");
    assert!(succeed(&["profile", data]).contains("\"total = price * quantity\","));

    let flags: Vec<&str> = rules.iter().flat_map(|rule| ["--constraint", rule]).collect();
    for method in ["independent", "autoregressive"] {
        let fit = ["fit", data, "--out", model_text, "--method", method, "--overwrite"];
        succeed(&[&fit[..], &flags].concat());
        succeed(&["sample", model_text, "--out", twin_text, "--rows", "5000", "--overwrite"]);
        assert_eq!(broken(&twin), 0, "{method}");
    }
    // The last model completes by the rules as well.
    let gaps = dir.path().join("gaps.csv");
    fs::write(&gaps, "price,quantity,total,status,paid\n2.50,,7.50,open,\n,2,5.00,paid,9\n3.00,4,,paid,1\n").unwrap();
    let full = dir.path().join("full.csv");
    let call = ["complete", gaps.to_str().unwrap(), "--out", full.to_str().unwrap(), "--model", model_text];
    succeed(&[&call[..], &["--columns", "price,quantity,total"]].concat());
    let text = fs::read_to_string(&full).unwrap();
    let rows: Vec<Vec<f64>> =
        text.lines().skip(1).map(|line| line.split(',').take(3).map(|c| c.parse().unwrap()).collect()).collect();
    assert_eq!(rows, [[2.5, 3.0, 7.5], [2.5, 2.0, 5.0], [3.0, 4.0, 12.0]]);
}

#[test]
fn rules_that_cannot_be_kept_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = write_orders(dir.path());
    let out = dir.path().join("m.twin");
    let [data, out_text] = [&data, &out].map(|p| p.to_str().unwrap());
    for (rules, parts) in [
        (vec!["total = prise * quantity"], vec!["table `orders`, column `prise`", "price, quantity"]),
        (vec!["status > 'open'"], vec!["texts have no order"]),
        (vec!["quantity"], vec!["it compares nothing"]),
        (vec!["price > 1000"], vec!["no real row keeps the constraint `price > 1000`"]),
        (vec!["quantity >= 3", "quantity < 3"], vec!["`quantity >= 3` and `quantity < 3` contradict each other"]),
    ] {
        let flags: Vec<&str> = rules.iter().flat_map(|rule| ["--constraint", rule]).collect();
        let told = run(&[&["fit", data, "--out", out_text][..], &flags].concat());
        let text = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(2), "{rules:?}: {text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
        assert!(!out.exists());
    }
    let told = run(&["fit", data, "--out", out_text, "--method", "independent", "--constraint", "quantity > 1"]);
    let text = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        told.status.success() && text.contains("225 of 900 real rows break the constraint `quantity > 1`"),
        "{text}"
    );
}
