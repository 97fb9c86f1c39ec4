//! From tables to a report: aligns the sides, runs every measurement, and judges.

use crate::accuracy::accuracy;
use crate::bins::BinnedSides;
use crate::definitions::definitions;
use crate::detection::{Detection, detection};
use crate::frame::{Frame, Frames};
use crate::histogram::column_plot;
use crate::memorisation::{Closeness, closeness_of_rows, closeness_of_users, exact_histories, exact_rows};
use crate::pairs::{mean_pair, pairs};
use crate::people::{behaviour_rows, popularity_ranks};
use crate::predictive::{LEARNER, predictive_utility};
use crate::report::*;
use crate::sampling::halves;
use crate::sequence::{Behaviour, BehaviourSides, Comparison, Pairs, compare, sequence_fidelity};
use crate::shapes::{mean, shapes};
use crate::training::TrainingCurves;
use crate::verdict::verdict;
use serde_json::Value;
use std::collections::BTreeMap;
use twinmart_tables::{Draws, Error, Histories, Progress, Result, Role, Shop, Table};

/// What a report says beyond the data.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The seed of every draw.
    pub seed: u64,
    /// Name of the project or table.
    pub project: String,
    /// How the synthetic data were made, where known.
    pub method: Option<String>,
    /// Whether they consist of training rows, where known.
    pub contains_training_rows: Option<bool>,
    /// What cleaning did; `Value::Null` where nothing was cleaned.
    pub cleaning: Value,
    /// How recommenders fared, where they were compared.
    pub ranking: Option<RankingUtility>,
    /// How generator and discriminator learned each table, where the synthetic data come from such a pair.
    pub training: Option<Vec<TrainingCurves>>,
}

/// Measures a plain table. `target` names the column that learners predict; it needs a hold-out.
pub fn measure_table(
    real: &Table,
    synthetic: &Table,
    holdout: Option<&Table>,
    target: Option<&str>,
    context: &Context,
    progress: &Progress,
) -> Result<Report> {
    let task = progress.start("measure the twin", Some(4), "measurements");
    let draws = Draws::new(context.seed);
    let frames = Frames::align(real, synthetic, holdout)?;
    refuse_empty(real, synthetic)?;
    let reference = Reference::of_rows(&frames, &real.name, &draws);
    let measured = measure_columns(real, &frames, &reference, None);
    task.advance(1)?;

    let (found, expected) = detect(&frames.real, &frames.synthetic, &reference, &draws, &real.name);
    task.advance(1)?;
    let closeness = frames.holdout.as_ref().and_then(|h| closeness_of_rows(&frames.real, h, &frames.synthetic, &draws));
    let exact = exact_rows(&frames.real, &frames.synthetic);
    let chance = exact_rows(&reference.real, &reference.other);
    task.advance(1)?;
    let mut utility = ranking_utility(context);
    if let Some(target) = target {
        utility.target = Some(target.to_string());
        if let Some(learner) = predictive_utility(&frames, target, &draws)? {
            utility.tstr.insert(LEARNER.into(), learner);
        }
    }
    task.advance(1)?;

    let mut references = BTreeMap::new();
    let tables = BTreeMap::from([(real.name.clone(), measured)]);
    let fidelity = overall(tables, found, expected, None, &mut references);
    let about = about(context, Subject::Table, holdout.is_some());
    let inputs = vec![input(real, synthetic, holdout, true)];
    finish(context, about, fidelity, utility, privacy(closeness, exact, chance, &mut references), references, inputs)
}

/// Measures a shop: users, events and every other table that was synthesized. All three shops have the same tables; the
/// hold-out's users are none of the real shop's.
pub fn measure_shop(
    real: &Shop,
    twin: &Shop,
    holdout: Option<&Shop>,
    context: &Context,
    progress: &Progress,
) -> Result<Report> {
    let task = progress.start("measure the twin", Some(real.tables.len() as u64 + 4), "measurements");
    let draws = Draws::new(context.seed);
    let sides = ShopSides::new(real, twin, holdout, &draws)?;

    let mut tables = BTreeMap::new();
    let mut inputs = Vec::new();
    let mut aligned: BTreeMap<&str, Frames> = BTreeMap::new();
    for table in &real.tables {
        let other = twin.table(&table.name).ok_or_else(|| {
            Error::data("the synthetic data lack this table").table(&table.name).remedy("add its file")
        })?;
        let held = holdout.filter(|_| sides.is_personal(table)).and_then(|h| h.table(&table.name));
        let synthesized = table.definition.role != Role::Items || table.definition.synthesize;
        inputs.push(input(table, other, held, synthesized));
        if synthesized {
            refuse_empty(table, other)?;
            let frames = Frames::align(table, other, held)?;
            let person = sides.person_of_rows(table);
            let reference = sides.reference(table, &frames, &draws);
            tables.insert(table.name.clone(), measure_columns(table, &frames, &reference, person.as_deref()));
            aligned.insert(&table.name, frames);
        }
        task.advance(1)?;
    }

    let mut references = BTreeMap::new();
    let sequence = sides.sequence(&mut references);
    task.advance(1)?;
    let (found, expected) = sides.detect(&aligned, &draws)?;
    task.advance(1)?;
    let closeness = match (&sides.holdout, sides.one_catalogue) {
        (Some(holdout), true) => closeness_of_users(&sides.real, holdout, &sides.twin, &draws),
        _ => None,
    };
    let exact = if sides.one_catalogue { exact_histories(&sides.real, &sides.twin) } else { None };
    let chance = if sides.one_catalogue { exact_histories(&sides.first, &sides.second) } else { None };
    let privacy = privacy(closeness, exact, chance, &mut references);
    task.advance(1)?;
    let fidelity = overall(tables, found, expected, Some(sequence), &mut references);
    let about = about(context, Subject::Shop, holdout.is_some());
    let report = finish(context, about, fidelity, ranking_utility(context), privacy, references, inputs);
    task.advance(1)?;
    report
}

fn refuse_empty(real: &Table, synthetic: &Table) -> Result<()> {
    for (table, side) in [(real, "real"), (synthetic, "synthetic")] {
        if table.rows() == 0 {
            return Err(Error::data(format!("the {side} table has no rows")).table(&table.name).into());
        }
    }
    Ok(())
}

/// Two real samples, for reference values: the real data against the hold-out, or two random halves of the real data.
struct Reference {
    real: Frame,
    other: Frame,
}

impl Reference {
    fn of_rows(frames: &Frames, table: &str, draws: &Draws) -> Reference {
        match &frames.holdout {
            Some(holdout) => Reference { real: frames.real.clone(), other: holdout.clone() },
            None => {
                let (first, second) = halves(frames.real.rows, &mut draws.family("assess.halves", table).row(0));
                Reference { real: frames.real.take(&first), other: frames.real.take(&second) }
            }
        }
    }
}

/// Shapes, pairs, accuracy and plots of one table.
fn measure_columns(table: &Table, frames: &Frames, reference: &Reference, person: Option<&[u32]>) -> TableFidelity {
    let binned = BinnedSides::new(&frames.real, &frames.synthetic);
    let shape = shapes(&frames.real, &frames.synthetic);
    let shape_reference = shapes(&reference.real, &reference.other);
    let mut matrix = pairs(&frames.real, &frames.synthetic, &binned);
    let binned_reference = BinnedSides::new(&reference.real, &reference.other);
    let matrix_reference = pairs(&reference.real, &reference.other, &binned_reference);
    let column_pairs = mean_pair(&matrix);
    for (position, shape) in shape.iter().enumerate() {
        matrix[position][position] = *shape;
    }
    let accuracy = accuracy(&binned);
    let columns = frames.columns.iter().enumerate().filter_map(|(position, info)| {
        Some(ColumnFidelity {
            name: info.name.clone(),
            kind: info.kind.name().to_string(),
            shape: shape[position]?,
            shape_reference: shape_reference[position],
            missing: missing_shares(frames, position),
            plot: column_plot(frames, position, person),
        })
    });
    TableFidelity {
        role: role_name(table.definition.role),
        column_shapes: mean(shape.iter().copied()),
        column_shapes_reference: mean(shape_reference.iter().copied()),
        column_pairs,
        column_pairs_reference: mean_pair(&matrix_reference),
        accuracy: accuracy.map(|a| a.0),
        accuracy_ceiling: accuracy.map(|a| a.1),
        columns: columns.collect(),
        pairs: matrix,
    }
}

fn missing_shares(frames: &Frames, position: usize) -> Sides<f64> {
    let missing = frames.columns[position].missing_code();
    let share = |frame: &Frame| frame.columns[position].missing_share(missing);
    Sides {
        real: share(&frames.real),
        synthetic: share(&frames.synthetic),
        holdout: frames.holdout.as_ref().map(share),
    }
}

/// Detection of the synthetic rows, and of real rows among real ones.
fn detect(
    real: &Frame,
    synthetic: &Frame,
    reference: &Reference,
    draws: &Draws,
    what: &str,
) -> (Option<Detection>, Option<Detection>) {
    rayon::join(
        || detection(real, synthetic, draws, what),
        || detection(&reference.real, &reference.other, draws, &format!("{what} reference")),
    )
}

/// The sides of a shop's behaviour.
struct ShopSides<'a> {
    shop: &'a Shop,
    real: Histories,
    twin: Histories,
    holdout: Option<Histories>,
    /// Two real samples for reference values: real and hold-out, or two halves of the real users.
    first: Histories,
    second: Histories,
    /// Positions of the users of the two halves; empty where there is a hold-out.
    halves: (Vec<usize>, Vec<usize>),
    /// Whether all sides use the real catalogue; not so where the items were synthesized too.
    one_catalogue: bool,
}

impl<'a> ShopSides<'a> {
    fn new(shop: &'a Shop, twin_shop: &'a Shop, holdout_shop: Option<&'a Shop>, draws: &Draws) -> Result<Self> {
        let real = shop.histories()?;
        let one_catalogue = shop.items().is_some_and(|items| !items.definition.synthesize);
        let mut twin = twin_shop.histories()?;
        if one_catalogue {
            twin = twin.on_catalogue(&real.items)?;
        }
        let holdout = holdout_shop.map(|h| h.histories()?.on_catalogue(&real.items)).transpose()?;
        let (halves, first, second) = match &holdout {
            Some(holdout) => ((Vec::new(), Vec::new()), real.clone(), holdout.clone()),
            None => {
                let (a, b) = halves(real.user_count(), &mut draws.family("assess.halves", "users").row(0));
                let (first, second) = (real.select(&a, |_, _| true), real.select(&b, |_, _| true));
                ((a, b), first, second)
            }
        };
        Ok(ShopSides { shop, real, twin, holdout, first, second, halves, one_catalogue })
    }

    /// True for tables whose rows belong to users: their held-out part is the hold-out shop's.
    fn is_personal(&self, table: &Table) -> bool {
        matches!(table.definition.role, Role::Users | Role::Events)
    }

    /// Whose each row of a personal table is.
    fn person_of_rows(&self, table: &Table) -> Option<Vec<u32>> {
        match table.definition.role {
            Role::Users => Some((0..table.rows() as u32).collect()),
            Role::Events => {
                let mut person = vec![0; table.rows()];
                for user in 0..self.real.user_count() {
                    for row in &self.real.row[self.real.range(user)] {
                        person[*row] = user as u32;
                    }
                }
                Some(person)
            }
            _ => None,
        }
    }

    /// Two real samples of a table; users are never divided between them.
    fn reference(&self, table: &Table, frames: &Frames, draws: &Draws) -> Reference {
        if self.holdout.is_some() || !self.is_personal(table) {
            return Reference::of_rows(frames, &table.name, draws);
        }
        let rows = |users: &[usize]| -> Vec<usize> {
            match table.definition.role {
                Role::Users => users.to_vec(),
                _ => users.iter().flat_map(|u| self.real.row[self.real.range(*u)].to_vec()).collect(),
            }
        };
        Reference { real: frames.real.take(&rows(&self.halves.0)), other: frames.real.take(&rows(&self.halves.1)) }
    }

    fn sequence(&self, references: &mut BTreeMap<String, f64>) -> SequenceFidelity {
        let (real, twin) = (Behaviour::of(&self.real), Behaviour::of(&self.twin));
        let holdout = self.holdout.as_ref().map(Behaviour::of);
        let pairs = self.one_catalogue.then(|| Pairs::count(&self.real, &real, &self.twin));
        let (first, second) = (Behaviour::of(&self.first), Behaviour::of(&self.second));
        let reference_pairs = Pairs::count(&self.first, &first, &self.second);
        remember(references, &compare(&first, &second, Some(&reference_pairs)));
        sequence_fidelity(&BehaviourSides {
            real: &real,
            synthetic: &twin,
            holdout: holdout.as_ref(),
            pairs: pairs.as_ref(),
        })
    }

    /// Detection of whole people by attributes and behaviour.
    fn detect(
        &self,
        aligned: &BTreeMap<&str, Frames>,
        draws: &Draws,
    ) -> Result<(Option<Detection>, Option<Detection>)> {
        let (users, _, events) = self.shop.behaviour()?;
        let (Some(users), Some(events)) = (aligned.get(users.name.as_str()), aligned.get(events.name.as_str())) else {
            return Ok((None, None));
        };
        let popularity = self.one_catalogue.then(|| popularity_ranks(&self.real));
        let rows = |histories: &Histories, users: &Frame, event_rows: &Frame| {
            behaviour_rows(histories, Some(users), event_rows, &events.columns, popularity.as_deref())
        };
        let real = rows(&self.real, &users.real, &events.real);
        let twin = rows(&self.twin, &users.synthetic, &events.synthetic);
        let reference = match (&self.holdout, &users.holdout, &events.holdout) {
            (Some(holdout), Some(held_users), Some(held_events)) => {
                Reference { real: real.clone(), other: rows(holdout, held_users, held_events) }
            }
            _ => Reference {
                real: rows(&self.first, &users.real.take(&self.halves.0), &events.real),
                other: rows(&self.second, &users.real.take(&self.halves.1), &events.real),
            },
        };
        Ok(detect(&real, &twin, &reference, draws, "people"))
    }
}

fn remember(references: &mut BTreeMap<String, f64>, numbers: &Comparison) {
    let named = [
        ("item_popularity_spearman", numbers.item_popularity_spearman),
        ("item_gini_difference", numbers.item_gini_difference),
        ("cooccurrence_spearman", numbers.cooccurrence_spearman),
        ("repeat_rate_difference", numbers.repeat_rate_difference),
        ("gap_ks", numbers.gap_ks),
        ("length_ks", numbers.length_ks),
        ("sessions_ks", numbers.sessions_ks),
        ("basket_size_ks", numbers.basket_size_ks),
        ("hour_of_week_tv", numbers.hour_of_week_tv),
    ];
    references.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))));
}

/// Means over tables, with their reference values.
fn overall(
    tables: BTreeMap<String, TableFidelity>,
    found: Option<Detection>,
    expected: Option<Detection>,
    sequence: Option<SequenceFidelity>,
    references: &mut BTreeMap<String, f64>,
) -> Fidelity {
    let over = |of: fn(&TableFidelity) -> Option<f64>| mean(tables.values().map(of));
    let accuracy_ceiling = over(|t| t.accuracy_ceiling);
    let named = [
        ("column_shapes", over(|t| t.column_shapes_reference)),
        ("column_pairs", over(|t| t.column_pairs_reference)),
        ("accuracy", accuracy_ceiling),
        ("detection_auc", expected.map(|d| d.auc)),
    ];
    references.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))));
    Fidelity {
        column_shapes: over(|t| t.column_shapes),
        column_pairs: over(|t| t.column_pairs),
        detection_auc: found.map(|d| d.auc),
        accuracy: over(|t| t.accuracy),
        accuracy_ceiling,
        detection_rows: found.map(|d| d.rows as u64),
        tables,
        sequence,
    }
}

fn privacy(
    closeness: Option<Closeness>,
    exact: Option<f64>,
    chance: Option<f64>,
    references: &mut BTreeMap<String, f64>,
) -> Privacy {
    // What people whom the twin never saw get, by definition.
    references.insert("dcr_share".into(), 0.5);
    references.insert("membership_auc".into(), 0.5);
    references.extend(chance.map(|c| ("exact_matches".to_string(), c)));
    Privacy {
        dcr_share: closeness.as_ref().map(|c| c.dcr_share),
        exact_matches: exact,
        membership_auc: closeness.as_ref().map(|c| c.membership_auc),
        epsilon: None,
        delta: None,
        exact_matches_holdout: chance,
        dcr_share_margin: closeness.as_ref().map(|c| c.dcr_share_margin),
        membership_auc_margin: closeness.as_ref().map(|c| c.membership_auc_margin),
        compared: closeness.as_ref().map(|c| c.compared),
        distances: closeness.and_then(|c| c.distances),
    }
}

fn ranking_utility(context: &Context) -> Utility {
    match &context.ranking {
        None => Utility::default(),
        Some(ranking) => Utility {
            ranking: ranking.models.clone(),
            model_rank_kendall_tau: ranking.kendall_tau,
            ranking_setup: Some(ranking.setup.clone()),
            ..Utility::default()
        },
    }
}

fn about(context: &Context, subject: Subject, has_holdout: bool) -> About {
    About {
        project: context.project.clone(),
        method: context.method.clone(),
        contains_training_rows: context.contains_training_rows,
        subject,
        has_holdout,
    }
}

fn input(real: &Table, synthetic: &Table, holdout: Option<&Table>, synthesized: bool) -> InputTable {
    InputTable {
        name: real.name.clone(),
        role: role_name(real.definition.role),
        columns: real.schema.fields().len() as u64,
        rows_real: real.rows() as u64,
        rows_synthetic: synthetic.rows() as u64,
        rows_holdout: holdout.map(|h| h.rows() as u64),
        synthesized,
    }
}

fn role_name(role: Role) -> String {
    let name = match role {
        Role::Users => "users",
        Role::Items => "items",
        Role::Events => "events",
        Role::Queries => "queries",
        Role::Plain => "plain",
    };
    name.to_string()
}

fn finish(
    context: &Context,
    about: About,
    fidelity: Fidelity,
    utility: Utility,
    privacy: Privacy,
    references: BTreeMap<String, f64>,
    inputs: Vec<InputTable>,
) -> Result<Report> {
    let reference_basis = if about.has_holdout { ReferenceBasis::Holdout } else { ReferenceBasis::RealHalves };
    Report {
        version: REPORT_VERSION,
        seed: context.seed,
        verdict: verdict(&about, &fidelity, &utility, &privacy),
        about,
        fidelity,
        utility,
        privacy,
        training: context.training.clone(),
        references,
        reference_basis,
        definitions: definitions(),
        inputs,
        cleaning: context.cleaning.clone(),
    }
    .rounded()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::tests::table;
    use arrow::array::{Float64Array, StringArray};
    use rand::Rng;
    use std::sync::Arc;

    fn people(seed: u64, rows: usize) -> Table {
        let mut draw = Draws::new(seed).stream("people");
        let income: Vec<Option<f64>> = (0..rows).map(|_| Some(draw.random::<f64>()).filter(|x| *x > 0.1)).collect();
        let class: Vec<&str> = income.iter().map(|x| if x.unwrap_or(1.0) > 0.5 { "high" } else { "low" }).collect();
        table(
            "people",
            vec![("income", Arc::new(Float64Array::from(income))), ("class", Arc::new(StringArray::from(class)))],
        )
    }

    fn measure(synthetic: &Table, holdout: Option<&Table>, threads: usize) -> Report {
        let context = Context { seed: 5, project: "people".into(), ..Context::default() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let real = people(1, 600);
        pool.install(|| measure_table(&real, synthetic, holdout, Some("class"), &context, &Progress::silent())).unwrap()
    }

    #[test]
    fn fresh_people_pass_copies_do_not_and_threads_change_nothing() {
        let (fresh, holdout) = (people(2, 600), people(3, 600));
        let report = measure(&fresh, Some(&holdout), 1);
        assert_eq!(report, measure(&fresh, Some(&holdout), 3));
        assert!(report.fidelity.column_shapes.unwrap() > 0.9 && report.fidelity.detection_auc.unwrap() < 0.62);
        // A tenth of the incomes is missing, so some strangers are equal by chance; 6 standard errors of the difference.
        let excess = report.privacy.exact_matches.unwrap() - report.privacy.exact_matches_holdout.unwrap();
        assert!(excess.abs() < 0.11, "{excess}");
        assert!(report.utility.tstr["boosted-trees"].synthetic.unwrap() > 0.95);
        let copy = measure(&people(1, 600), Some(&holdout), 2);
        assert_eq!((copy.privacy.exact_matches, copy.verdict.private.level), (Some(1.0), Level::Red));
        assert!(copy.privacy.dcr_share.unwrap() > 0.9);
    }

    #[test]
    fn without_a_holdout_the_fields_that_need_one_are_null() {
        let json = serde_json::to_value(measure(&people(2, 600), None, 1)).unwrap();
        for pointer in ["/privacy/dcr_share", "/privacy/membership_auc", "/privacy/epsilon", "/fidelity/sequence"] {
            assert_eq!(json.pointer(pointer), Some(&Value::Null), "{pointer}");
        }
        assert_eq!(json.pointer("/utility/tstr"), Some(&serde_json::json!({})));
        assert!(json.pointer("/references/column_shapes").unwrap().as_f64().unwrap() > 0.9);
        assert_eq!(json.pointer("/reference_basis"), Some(&Value::from("real-halves")));
    }
}
