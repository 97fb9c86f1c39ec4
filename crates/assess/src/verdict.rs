//! The three answers on top of the report: faithful, useful, private.
//!
//! Each takes the worst of a few numbers with fixed limits. Limits are conventions, stated here once and in the manual;
//! they decide a colour, never a guarantee.

use crate::report::{About, Answer, Fidelity, Level, Privacy, Subject, Utility, Verdict};

/// A number with the limits of green and amber.
struct Limits {
    measure: &'static str,
    green: f64,
    amber: f64,
    /// True where a smaller number is better.
    small_is_good: bool,
}

impl Limits {
    fn level(&self, number: f64) -> Level {
        let reaches = |limit: f64| if self.small_is_good { number <= limit } else { number >= limit };
        match (reaches(self.green), reaches(self.amber)) {
            (true, _) => Level::Green,
            (_, true) => Level::Amber,
            _ => Level::Red,
        }
    }
}

const DETECTION: Limits = Limits { measure: "detection_auc", green: 0.65, amber: 0.85, small_is_good: true };
const SHAPES: Limits = Limits { measure: "column_shapes", green: 0.95, amber: 0.85, small_is_good: false };
const PAIRS: Limits = Limits { measure: "column_pairs", green: 0.92, amber: 0.80, small_is_good: false };
const POPULARITY: Limits =
    Limits { measure: "item_popularity_spearman", green: 0.85, amber: 0.60, small_is_good: false };
/// Of the gain over popularity (recommenders) or over guessing (learners).
const KEPT: Limits = Limits { measure: "kept", green: 0.90, amber: 0.60, small_is_good: false };
/// With fewer recommenders that gain anything on the real data, or fewer test users, there is no answer.
const FEWEST_RECOMMENDERS: usize = 3;
const FEWEST_TEST_USERS: u64 = 50;
const DCR_SHARE: Limits = Limits { measure: "dcr_share", green: 0.53, amber: 0.55, small_is_good: true };
const MEMBERSHIP: Limits = Limits { measure: "membership_auc", green: 0.53, amber: 0.60, small_is_good: true };
/// Exact matches beyond what chance gives.
const EXACT: Limits = Limits { measure: "exact_matches", green: 0.001, amber: 0.01, small_is_good: true };

/// The answers to measured numbers.
pub(crate) fn verdict(about: &About, fidelity: &Fidelity, utility: &Utility, privacy: &Privacy) -> Verdict {
    Verdict { faithful: faithful(about, fidelity), useful: useful(utility), private: private(about, privacy) }
}

/// The worst of the numbers that were measured (the first of equally bad ones).
fn worst<'a>(numbers: &[(&'a Limits, Option<f64>)]) -> Option<(&'a Limits, f64, Level)> {
    let judged = numbers.iter().filter_map(|(limits, number)| number.map(|n| (*limits, n, limits.level(n))));
    judged.rev().max_by_key(|(_, _, level)| *level)
}

fn faithful(about: &About, fidelity: &Fidelity) -> Answer {
    let popularity = fidelity.sequence.as_ref().and_then(|s| s.item_popularity_spearman);
    let numbers = [
        (&DETECTION, fidelity.detection_auc),
        (&SHAPES, fidelity.column_shapes),
        (&PAIRS, fidelity.column_pairs),
        (&POPULARITY, popularity),
    ];
    let Some((limits, number, level)) = worst(&numbers) else {
        return unmeasured("Not measured: too few rows or no columns to compare.", "Compare at least fifty rows.");
    };
    let thing = if about.subject == Subject::Shop { "people" } else { "rows" };
    let finding = match limits.measure {
        "detection_auc" => {
            format!("trained trees tell synthetic {thing} from real ones with an AUC of {number:.3} (0.5 = cannot)")
        }
        "column_shapes" => format!("single columns match to {:.1} %", 100.0 * number),
        "column_pairs" => format!("relations between columns match to {:.1} %", 100.0 * number),
        _ => format!("item popularity correlates at {number:.3}"),
    };
    let (start, advice) = match level {
        Level::Green => {
            ("Looks real", "Good to look at and to test software with; whether it may be shown is the third question.")
        }
        Level::Amber => (
            "Close, with visible differences",
            "Check the marked columns and sequence plots before relying on details.",
        ),
        Level::Red => (
            "Clearly different",
            "Use another synthesis method or more training; see which columns and pairs are marked.",
        ),
    };
    answer(level, format!("{start}: {finding}."), limits.measure, number, advice)
}

fn useful(utility: &Utility) -> Answer {
    let mut kept: Vec<f64> = utility.ranking.values().filter_map(|m| m.kept).collect();
    kept.sort_by(f64::total_cmp);
    let tested = utility.ranking_setup.as_ref().map_or(0, |setup| setup.test_users);
    let few = !kept.is_empty() && (kept.len() < FEWEST_RECOMMENDERS || tested < FEWEST_TEST_USERS);
    let (measure, number, finding) = if !kept.is_empty() {
        let count = kept.len();
        let median = 0.5 * (kept[(count - 1) / 2] + kept[count / 2]);
        let finding = format!(
            "recommenders trained on the twin keep {:.0} % of the gain over popularity (median of {count})",
            100.0 * median
        );
        let tested = if few { format!(", on {tested} test users") } else { String::new() };
        ("kept", median, finding + &tested)
    } else if let Some((name, real, synthetic, number)) = worst_learner(utility) {
        ("tstr", number, format!("{name} trained on the twin scores {synthetic:.3} where real rows give {real:.3}"))
    } else {
        return unmeasured(
            "Not measured: no recommender or learner could be compared on held-out real data.",
            "Hold out users (or rows) and name a target, then assess again.",
        );
    };
    if few {
        let advice = "Hold out users with longer histories, or judge by the table of recommenders.";
        return answer(Level::Amber, format!("Not enough to judge: {finding}."), measure, number, advice);
    }
    let level = KEPT.level(number);
    let (start, advice) = match level {
        Level::Green => (
            "Works in place of real data",
            "Develop and choose models on the twin; confirm the final one on real data.",
        ),
        Level::Amber => ("Works in part", "Good for building and testing; tune and choose models on real data."),
        Level::Red => ("Does not carry over", "Do not train models on this twin; use a method that learns relations."),
    };
    answer(level, format!("{start}: {finding}."), measure, number, advice)
}

/// The learner that loses most: (name, real, synthetic, share of the real gain over guessing that is kept).
fn worst_learner(utility: &Utility) -> Option<(&str, f64, f64, f64)> {
    let judged = utility.tstr.iter().filter_map(|(name, learner)| {
        let (real, synthetic) = (learner.real?, learner.synthetic?);
        let guess = if learner.metric == "auc" { 0.5 } else { 0.0 };
        (real > guess).then(|| (name.as_str(), real, synthetic, (synthetic - guess) / (real - guess)))
    });
    judged.min_by(|a, b| a.3.total_cmp(&b.3))
}

fn private(about: &About, privacy: &Privacy) -> Answer {
    if about.contains_training_rows == Some(true) {
        return Answer {
            level: Level::Red,
            sentence: "Made of training rows: this twin holds real people's records or parts of them.".into(),
            number: privacy.exact_matches,
            measure: Some("exact_matches".into()),
            advice: "Treat it like the real data; share only twins of a method that does not copy.".into(),
        };
    }
    let excess = privacy.exact_matches.map(|m| (m - privacy.exact_matches_holdout.unwrap_or(0.0)).max(0.0));
    let numbers = [(&MEMBERSHIP, privacy.membership_auc), (&DCR_SHARE, privacy.dcr_share), (&EXACT, excess)];
    let Some((limits, number, level)) = worst(&numbers) else {
        return unmeasured("Not measured: nothing to compare.", "Compare tables that share columns.");
    };
    if privacy.membership_auc.is_none() && level != Level::Red {
        return unmeasured(
            "Not measured: without held-out real data, closeness to the people learned from cannot be judged.",
            "Hold out users (or rows) before fitting, then assess again.",
        );
    }
    let finding = match limits.measure {
        "exact_matches" => format!("{:.2} % of records equal a training record beyond chance", 100.0 * number),
        "membership_auc" => format!("guessing who was learned from reaches an AUC of {number:.3} (0.5 = blind)"),
        _ => format!("{:.1} % of records are closer to training than to unseen data (50 = chance)", 100.0 * number),
    };
    let (start, advice) = match level {
        Level::Green => (
            "No sign of memorised people",
            "Measured with these attacks only, never a guarantee; decide with your data-protection officer.",
        ),
        Level::Amber => (
            "Slight signs of memorised people",
            "Share inside your organisation only, or fit with less detail or more people.",
        ),
        Level::Red => ("Memorised people", "Treat it like the real data and use another method."),
    };
    answer(level, format!("{start}: {finding}."), limits.measure, number, advice)
}

fn answer(level: Level, sentence: String, measure: &str, number: f64, advice: &str) -> Answer {
    Answer { level, sentence, number: Some(number), measure: Some(measure.into()), advice: advice.into() }
}

fn unmeasured(sentence: &str, advice: &str) -> Answer {
    Answer { level: Level::Amber, sentence: sentence.into(), number: None, measure: None, advice: advice.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{RankingSetup, RecommenderUtility};

    fn about(contains_training_rows: Option<bool>) -> About {
        About { project: "p".into(), method: None, contains_training_rows, subject: Subject::Table, has_holdout: true }
    }

    fn privacy(dcr_share: f64, exact: f64, chance: f64, membership: f64) -> Privacy {
        Privacy {
            dcr_share: Some(dcr_share),
            exact_matches: Some(exact),
            membership_auc: Some(membership),
            epsilon: None,
            delta: None,
            exact_matches_holdout: Some(chance),
            dcr_share_margin: None,
            membership_auc_margin: None,
            distances: None,
            compared: None,
        }
    }

    #[test]
    fn each_sign_of_memorising_turns_the_answer_red() {
        let level = |a: &About, p: &Privacy| private(a, p).level;
        let fine = privacy(0.51, 0.3, 0.3, 0.5);
        assert_eq!(level(&about(None), &fine), Level::Green, "chance matches are no sign");
        assert_eq!(level(&about(Some(true)), &fine), Level::Red);
        assert_eq!(level(&about(None), &privacy(0.56, 0.0, 0.0, 0.5)), Level::Red);
        assert_eq!(level(&about(None), &privacy(0.5, 0.32, 0.3, 0.5)), Level::Red);
        assert_eq!(level(&about(None), &privacy(0.5, 0.0, 0.0, 0.61)), Level::Red);
        assert_eq!(level(&about(None), &privacy(0.54, 0.0, 0.0, 0.5)), Level::Amber);
        let unknown = Privacy { membership_auc: None, dcr_share: None, ..fine };
        assert_eq!(private(&about(None), &unknown).number, None);
    }

    #[test]
    fn a_handful_of_test_users_or_recommenders_is_no_answer() {
        let level = |models: usize, test_users| {
            let kept = |number: usize| RecommenderUtility {
                metric: "ndcg@10".into(),
                real: Some(0.2),
                synthetic: Some(0.2),
                both: Some(0.2),
                kept: Some(0.9 + 0.1 * number as f64),
                kept_ci95: None,
            };
            let setup = RankingSetup { split: "temporal".into(), view: "new".into(), test_users };
            useful(&Utility {
                tstr: Default::default(),
                target: None,
                ranking: (0..models).map(|n| (n.to_string(), kept(n))).collect(),
                model_rank_kendall_tau: None,
                ranking_setup: Some(setup),
            })
        };
        assert_eq!(level(3, 50).level, Level::Green);
        assert_eq!(level(3, 50).number, Some(1.0), "the median");
        for (models, test_users) in [(2, 50), (3, 49)] {
            let answer = level(models, test_users);
            assert!(answer.level == Level::Amber && answer.sentence.starts_with("Not enough to judge"));
        }
    }

    #[test]
    fn the_worst_number_decides() {
        let found = worst(&[(&SHAPES, Some(0.99)), (&DETECTION, Some(0.9)), (&PAIRS, None)]).unwrap();
        assert_eq!((found.0.measure, found.2), ("detection_auc", Level::Red));
    }
}
