//! From a shop to a model: which table is made in which way, how its new keys look, and then each table by the method.

use crate::behaviour::Behaviour;
use crate::manifest::{Making, Manifest, Origin, TableSpec};
use crate::model::{Contents, Model, Part};
use crate::rows::RowModel;
use crate::rules::Rules;
use crate::sessions::Sessions;
use crate::{FitSettings, KeyStyle};
use std::collections::HashMap;
use twinmart_tables::{Error, Interpolation, Method, Progress, Result, Role, Shop, Table};

/// Learns a model of every table of a shop.
///
/// With users, items and events, users and their events are made together; items are kept as they are unless the project
/// says `synthesize`; every other table is made row by row. Warns where the model is made of training rows.
pub fn fit(shop: &Shop, settings: &FitSettings, progress: &Progress) -> Result<Model> {
    settings.check()?;
    shop.check_keys()?;
    let has_behaviour = shop.behaviour().is_ok();
    let mut specs: Vec<TableSpec> =
        shop.tables.iter().map(|t| TableSpec::of(t, making(shop, t, has_behaviour))).collect();
    let sized_by = sized_by(shop, &specs)?;
    check_interpolation(settings, &specs, &sized_by)?;
    if settings.extends() && !has_behaviour {
        return Err(Error::usage("extend lengthens histories, and there are no users with items and events")
            .table(&sized_by)
            .remedy("leave out extend ([synthesis] or --extend), or give tables of users, items and events")
            .into());
    }
    let sessions = has_behaviour.then(|| Sessions::of_shop(shop)).transpose()?;
    let keyless = Manifest::new(settings, &sized_by, specs.clone());
    for (spec, table) in specs.iter_mut().zip(&shop.tables) {
        choose_keys(spec, table, &keyless, sessions.as_ref())?;
        if spec.making != Making::Kept {
            let origins = spec.origins(&keyless);
            let is_value = |column: usize| match origins[column] {
                Origin::Value => true,
                Origin::Reference(of) => spec.making != Making::Events && keyless.tables[of].making == Making::Kept,
                _ => false,
            };
            spec.rules = Rules::of(table, &subjects(shop, table)?, is_value, settings.seed)?;
        }
    }
    let manifest = Manifest::new(settings, &sized_by, specs);
    if manifest.contains_training_rows {
        progress.warn(&training_rows_warning(&manifest));
    }
    let mut parts = Vec::with_capacity(shop.tables.len());
    for (table, spec) in shop.tables.iter().zip(&manifest.tables) {
        parts.push(match spec.making {
            Making::Kept => Part::Kept(table.to_batch()?),
            Making::Users | Making::Events => Part::Behaviour,
            Making::Rows | Making::Counterparts => {
                Part::Rows(RowModel::fit(table, &subjects(shop, table)?, spec, &manifest, progress)?)
            }
        });
    }
    let behaviour = sessions.map(|s| Behaviour::fit(shop, s, &manifest, progress)).transpose()?;
    let schemas = shop.tables.iter().map(|t| t.schema.clone()).collect();
    Ok(Model::new(Contents { manifest, schemas, parts, behaviour }))
}

fn making(shop: &Shop, table: &Table, has_behaviour: bool) -> Making {
    let is = |other: Option<&Table>| has_behaviour && other.is_some_and(|o| o.name == table.name);
    match table.definition.role {
        Role::Items if !table.definition.synthesize => Making::Kept,
        Role::Items => Making::Counterparts,
        Role::Users if is(shop.users()) => Making::Users,
        Role::Events if is(shop.events()) => Making::Events,
        _ => Making::Rows,
    }
}

/// The table whose rows a size counts: the users, else the first table that is made.
fn sized_by(shop: &Shop, specs: &[TableSpec]) -> Result<String> {
    let made = || specs.iter().filter(|s| s.making != Making::Kept);
    let chosen = made().find(|s| s.role() == Role::Users).or_else(|| made().next()).ok_or_else(|| {
        Error::usage("there is no table to make: all are catalogues, which are kept as they are")
            .remedy("add users and events, or synthesize = true in the items table")
    })?;
    let people = shop.behaviour().is_ok();
    let empty = |s: &&TableSpec| s.rows == 0 && (s.name == chosen.name || (people && s.making == Making::Events));
    match specs.iter().find(empty) {
        Some(s) => Err(Error::data("the table has no rows to learn from")
            .table(&s.name)
            .remedy("check the source, the SQL and the cleaning rules")
            .into()),
        None => Ok(chosen.name.clone()),
    }
}

/// Users with events come from crossing, and a catalogue keeps its rows: only plain tables have other ways.
fn check_interpolation(settings: &FitSettings, specs: &[TableSpec], sized_by: &str) -> Result<()> {
    let is_plain = specs.iter().any(|s| s.name == sized_by && s.making == Making::Rows);
    if settings.method != Method::Interpolate || settings.interpolation == Interpolation::Smote || is_plain {
        return Ok(());
    }
    Err(Error::usage(format!("{} makes rows of plain tables, not users with events", settings.interpolation.name()))
        .table(sized_by)
        .remedy("use smote for this project, or fit the table by itself")
        .into())
}

/// Chooses a style for every column of new keys. Errors name the table and column.
fn choose_keys(spec: &mut TableSpec, table: &Table, manifest: &Manifest, sessions: Option<&Sessions>) -> Result<()> {
    if spec.making == Making::Kept {
        return Ok(());
    }
    let key = spec.definition.key.as_ref().filter(|k| spec.definition.references.contains_key(*k));
    if let Some(key) = key {
        let parent = spec.shared_key(manifest);
        if parent.is_none_or(|p| manifest.tables[p].shared_key(manifest).is_some()) {
            return Err(Error::usage("this key refers to another table's key; no new keys can be made for it")
                .table(&spec.name)
                .column(key)
                .remedy("join the tables in SQL, or refer to the first table of the chain")
                .into());
        }
    }
    // A child of two users has at most the sessions of both; an extended user has at most so many more.
    let extended = if manifest.settings.extends() { manifest.settings.extend as u64 } else { 0 };
    let most_sessions = 2 * sessions.map_or(0, Sessions::most_sessions) + extended;
    let most_events = most_sessions * sessions.map_or(0, Sessions::most_events_of_a_session) + extended;
    for (position, origin) in spec.origins(manifest).into_iter().enumerate() {
        let name = spec.columns[position].name.clone();
        let training = table.column_at(position)?;
        let style = match (origin, spec.making) {
            (Origin::Group, _) => KeyStyle::below_user(&training, most_sessions),
            (Origin::Key, Making::Events) => KeyStyle::below_user(&training, most_events),
            (Origin::Key, _) => KeyStyle::alone(&training),
            (Origin::Value | Origin::Reference(_) | Origin::SharedKey(_), _) => continue,
        };
        let style = style.map_err(|e| match e {
            Error::Usage(problem) => problem.table(&spec.name).column(&name).into(),
            other => other,
        })?;
        spec.keys.insert(name, style);
    }
    Ok(())
}

/// The person behind each row: whom it refers to, or the row itself.
fn subjects(shop: &Shop, table: &Table) -> Result<Vec<u64>> {
    let users = shop.users().map(|u| u.name.as_str());
    let refers = table.definition.references.iter().find(|(_, r)| Some(r.table.as_str()) == users);
    let Some((column, _)) = refers else { return Ok((0..table.rows() as u64).collect()) };
    let text = table.text(column)?;
    let mut known: HashMap<Option<&str>, u64> = HashMap::new();
    let number = |value| {
        let next = known.len() as u64;
        *known.entry(value).or_insert(next)
    };
    Ok(text.iter().map(number).collect())
}

fn training_rows_warning(manifest: &Manifest) -> String {
    let made = manifest.tables.iter().filter(|t| t.making != Making::Kept);
    let tables: Vec<String> = made.map(|t| format!("{} of {}", t.rows, t.name)).collect();
    format!("this model is made of training rows: {}; do not share it or its twins", tables.join(", "))
}
