//! Agreement with SciPy and scikit-learn on the stored samples of `tests/reference/make.py`.

use crate::bins::BinnedSides;
use crate::frame::{Frame, Values};
use crate::ranks::{ks_distance, quantile, roc_auc, spearman};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../tests/reference/vectors.json")).unwrap()
}

fn list(vectors: &Value, name: &str) -> Vec<f64> {
    vectors[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(ours: Option<f64>, theirs: &Value) {
    let (ours, theirs) = (ours.unwrap(), theirs.as_f64().unwrap());
    assert!((ours - theirs).abs() < 1e-12, "{ours} {theirs}");
}

#[test]
fn ranks_distances_and_quantiles_agree() {
    let v = vectors();
    let (x, y, z) = (list(&v, "x"), list(&v, "y"), list(&v, "z"));
    close(spearman(&x, &y), &v["spearman_xy"]);
    close(ks_distance(&x, &z), &v["ks_xz"]);
    let labels: Vec<bool> = list(&v, "labels").iter().map(|l| *l > 0.5).collect();
    close(roc_auc(&y, &labels), &v["auc_y_labels"]);
    let mut sorted = x;
    sorted.sort_by(f64::total_cmp);
    for (q, theirs) in [0.1, 0.25, 0.5, 0.99].iter().zip(v["quantiles_x"].as_array().unwrap()) {
        close(quantile(&sorted, *q), theirs);
    }
}

#[test]
fn joint_tables_agree() {
    let v = vectors();
    let codes = |name: &str| Values::Category(list(&v, name).iter().map(|c| *c as u32).collect());
    let real = Frame { columns: vec![codes("a"), codes("b")], rows: 400 };
    let other = Frame { columns: vec![codes("c"), codes("d")], rows: 300 };
    close(Some(BinnedSides::new(&real, &other).similarity(0, 1)), &v["joint_similarity"]);
}
