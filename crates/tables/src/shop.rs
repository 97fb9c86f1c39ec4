//! A shop: all tables of a project, with its events resolved and its references checked.

use crate::table::text_of;
use crate::{ColumnKind, Error, Histories, Project, Result, Role, Table};
use arrow::array::Array;
use std::collections::{HashMap, HashSet};

/// All tables of a project, in project order.
#[derive(Debug, Clone)]
pub struct Shop {
    /// The project they come from.
    pub project: Project,
    /// The tables, in the order of the project file.
    pub tables: Vec<Table>,
}

/// The columns of an events table that carry a meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventColumns {
    /// Refers to the users table.
    pub user: String,
    /// Refers to the items table.
    pub item: String,
    /// When it happened; without it, row order.
    pub time: Option<String>,
    /// Basket or session.
    pub group: Option<String>,
}

impl Shop {
    /// A table by name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.name == name)
    }

    /// The first table of a role.
    pub fn first(&self, role: Role) -> Option<&Table> {
        self.tables.iter().find(|t| t.definition.role == role)
    }

    /// The users table.
    pub fn users(&self) -> Option<&Table> {
        self.first(Role::Users)
    }

    /// The items table.
    pub fn items(&self) -> Option<&Table> {
        self.first(Role::Items)
    }

    /// The events table.
    pub fn events(&self) -> Option<&Table> {
        self.first(Role::Events)
    }

    /// The users, items and events tables, or a usage error that says which is missing.
    pub fn behaviour(&self) -> Result<(&Table, &Table, &Table)> {
        match (self.users(), self.items(), self.events()) {
            (Some(u), Some(i), Some(e)) => Ok((u, i, e)),
            _ => Err(Error::usage("this needs tables with the roles users, items and events")
                .remedy("add the missing role in the project file")
                .into()),
        }
    }

    /// The meaning-carrying columns of the events table.
    pub fn event_columns(&self) -> Result<EventColumns> {
        let (users, items, events) = self.behaviour()?;
        let to = |table: &Table| -> Result<String> {
            let found = events.definition.references.iter().find(|(_, r)| r.table == table.name);
            found
                .map(|(column, _)| column.clone())
                .ok_or_else(|| Error::usage(format!("no column refers to `{}`", table.name)).table(&events.name).into())
        };
        let group = (0..events.kinds.len())
            .find(|i| events.kinds[*i] == ColumnKind::Group)
            .map(|i| events.schema.field(i).name().clone());
        Ok(EventColumns { user: to(users)?, item: to(items)?, time: events.definition.time.clone(), group })
    }

    /// Per-user sequences of the events table.
    pub fn histories(&self) -> Result<Histories> {
        Histories::of_shop(self)
    }

    /// The part of the shop that belongs to the users that `keep_user` accepts (by key), with only the events whose row
    /// `keep_event` accepts. Rows of other tables that refer to users go with their user; items stay.
    pub fn part(&self, keep_user: impl Fn(&str) -> bool, keep_event: impl Fn(usize) -> bool) -> Result<Shop> {
        let (users, _, events) = self.behaviour()?;
        let mut tables = Vec::with_capacity(self.tables.len());
        for table in &self.tables {
            let of_user = if table.name == users.name {
                table.definition.key.clone()
            } else {
                let refers = |r: &crate::Reference| r.table == users.name;
                table.definition.references.iter().find(|(_, r)| refers(r)).map(|(column, _)| column.clone())
            };
            let owner = of_user.map(|column| table.text(&column)).transpose()?;
            let keep = |row: &usize| {
                let user = owner.as_ref().is_none_or(|o| o.is_valid(*row) && keep_user(o.value(*row)));
                user && (table.name != events.name || keep_event(*row))
            };
            tables.push(table.take(&(0..table.rows()).filter(keep).collect::<Vec<_>>())?);
        }
        Ok(Shop { project: self.project.clone(), tables })
    }

    /// Checks that keys are unique and present and that every reference has its row. A data error names the first offence.
    pub fn check_keys(&self) -> Result<()> {
        let mut keys: HashMap<&str, HashSet<String>> = HashMap::new();
        for table in &self.tables {
            let Some(key) = &table.definition.key else { continue };
            let mut seen = HashSet::with_capacity(table.rows());
            for (row, value) in text_of(&table.column(key)?)?.iter().enumerate() {
                let place = |what: &str| Error::data(what).table(&table.name).column(key).row(row as u64 + 1);
                let Some(value) = value else {
                    return Err(place("the key is missing")
                        .remedy("drop such rows under [clean] or choose another key")
                        .into());
                };
                if !seen.insert(value.to_string()) {
                    return Err(place("the key occurs twice")
                        .value(value)
                        .remedy("remove the second row (drop_duplicates, GROUP BY) or choose another key")
                        .into());
                }
            }
            keys.insert(&table.name, seen);
        }
        for table in &self.tables {
            for (column, reference) in &table.definition.references {
                let Some(parents) = keys.get(reference.table.as_str()) else { continue };
                for (row, value) in text_of(&table.column(column)?)?.iter().enumerate() {
                    let place = |what: String| Error::data(what).table(&table.name).column(column).row(row as u64 + 1);
                    match value {
                        None if table.definition.role == Role::Events => {
                            let what = format!("the reference to `{}` is missing", reference.table);
                            return Err(place(what).remedy("drop such rows under [clean]").into());
                        }
                        Some(v) if !parents.contains(v) => {
                            let what = format!("no row of `{}` has this `{}`", reference.table, reference.key);
                            return Err(place(what)
                                .value(v)
                                .remedy("add the row there or drop this one (SQL, [clean])")
                                .into());
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}
