//! Names of numbers, and the definitions of those that only the page shows.

use crate::report::Report;

/// A number that stands on the page but is no measurement of the report.
pub(super) struct Term {
    pub(super) key: &'static str,
    pub(super) sentence: &'static str,
}

/// Definitions that the report's own do not hold.
pub(super) const PAGE: &[Term] = &[
    Term { key: "rows_real", sentence: "Rows of real data that the synthesizer learned from, after cleaning." },
    Term { key: "rows_synthetic", sentence: "Rows of the twin." },
    Term {
        key: "rows_holdout",
        sentence: "Rows of real data that the synthesizer never saw; they serve as the control group.",
    },
    Term { key: "columns", sentence: "Number of columns of the table." },
    Term { key: "rows_in", sentence: "Rows before cleaning." },
    Term { key: "rows_kept", sentence: "Rows after cleaning as a share of the rows before." },
    Term { key: "rows_out", sentence: "Rows after all cleaning rules." },
    Term { key: "rule_matched", sentence: "Rows of the input that the rule matches, whatever other rules do." },
    Term {
        key: "rule_removed",
        sentence: "Rows that the rule removed when the rules ran in order; rows that an earlier rule removed do not count again.",
    },
    Term { key: "rule_changed", sentence: "Rows in which the rule changed a value." },
    Term {
        key: "shape",
        sentence: "Similarity of one column's distribution in the real data and in the twin; 1 means equal.",
    },
    Term { key: "missing_share", sentence: "Share of the rows in which the column has no value." },
    Term { key: "distinct", sentence: "Number of different values of the column." },
    Term {
        key: "two_real_samples",
        sentence: "The same number for two samples of real data: held-out against learned from, or one random half against \
                   the other. The difference that chance alone makes; no twin needs to be closer.",
    },
    Term {
        key: "interval",
        sentence: "95 % interval: had other people been drawn by chance, the number would lie in such an interval 95 times in 100.",
    },
    Term { key: "compared", sentence: "Rows (in a shop, histories of users) that the privacy measurements compared." },
    Term {
        key: "prediction_accuracy",
        sentence: "Share of real held-out rows for which a learner predicts the right value.",
    },
];

/// What a number is called on the page.
pub(super) fn title(key: &str) -> String {
    let name = match key {
        "accuracy_ceiling" => "Accuracy of two real samples",
        "auc" => "AUC",
        "basket_size_ks" => "Events per session: distance",
        "catalogue_coverage" => "Catalogue coverage",
        "column_pairs" => "Column pairs",
        "column_shapes" => "Column shapes",
        "cooccurrence_spearman" => "Items that share users: correlation",
        "dcr_share" => "Closer to training data",
        "delta" => "Privacy parameter δ",
        "detection_auc" => "Detection AUC",
        "discriminator_f1" => "Discriminator F1",
        "epsilon" => "Privacy budget ε",
        "exact_matches" => "Exact copies",
        "exact_matches_holdout" => "Exact copies by chance",
        "f1" => "F1",
        "gap_ks" => "Time between events: distance",
        "hour_of_week_tv" => "Hour of the week: distance",
        "item_gini" => "Inequality of items (Gini)",
        "item_gini_difference" => "Difference in inequality",
        "item_popularity_spearman" => "Item popularity: correlation",
        "kept" => "Kept",
        "length_ks" => "Events per user: distance",
        "membership_auc" => "Membership AUC",
        "missing_share" => "Missing",
        "model_rank_kendall_tau" => "Agreement of rankings (Kendall’s τ)",
        "r2" => "R²",
        "repeat_rate" => "Repeat rate",
        "repeat_rate_difference" => "Difference in repeat rate",
        "rows_holdout" => "Held-out rows",
        "rows_in" => "Rows in",
        "rows_kept" => "Rows kept",
        "rows_out" => "Rows out",
        "rows_real" => "Real rows",
        "rows_synthetic" => "Twin rows",
        "rule_changed" => "Changed",
        "rule_matched" => "Matched",
        "rule_removed" => "Removed",
        "sessions_ks" => "Sessions per user: distance",
        "shape" => "Shape",
        "prediction_accuracy" => "Accuracy of predictions",
        "interval" => "95 % interval",
        "tstr" => "Kept of the gain over guessing",
        "two_sample" => "Two-sample statistic",
        "two_sample_floor" => "Two-sample statistic of real samples",
        other if other.contains('@') => return other.to_uppercase(),
        other => return sentence_case(other),
    };
    name.into()
}

/// Why a number is missing.
pub(super) fn reason(key: &str, report: &Report) -> &'static str {
    let needs_holdout = ["dcr_share", "membership_auc", "exact_matches_holdout", "auc", "r2", "tstr"].contains(&key);
    match key {
        _ if needs_holdout && !report.about.has_holdout => "no real data were held out to compare with",
        "kept" => "popularity itself, or a model that does not clearly beat popularity on real data",
        "model_rank_kendall_tau" | "ndcg@10" if report.utility.ranking.is_empty() => "no recommenders were compared",
        "model_rank_kendall_tau" => "fewer than two recommenders were compared",
        "epsilon" | "delta" => "the twin was made without differential privacy",
        "hour_of_week_tv" => "the events carry no time of day",
        "gap_ks" => "the events carry no time, or nobody has two",
        _ if key.starts_with("discriminator_") || key.starts_with("two_sample") => "the networks had diverged",
        _ => "too little data for this number",
    }
}

/// The value of a number that cannot tell one side from the other, where that is one half.
pub(super) fn fair_coin(key: &str) -> Option<f64> {
    ["dcr_share", "membership_auc", "detection_auc"].contains(&key).then_some(0.5)
}

/// What a number's reference point is called.
pub(super) fn reference_name(key: &str) -> &'static str {
    match key {
        "detection_auc" => "Indistinguishable would be",
        _ if fair_coin(key).is_some() => "Harmless would be",
        _ => "Two real samples get",
    }
}

/// `mean_distance` → `Mean distance`.
fn sentence_case(key: &str) -> String {
    let words = key.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_read_as_words() {
        assert_eq!(title("mean_distance"), "Mean distance");
        assert_eq!(title(""), "");
    }
}
