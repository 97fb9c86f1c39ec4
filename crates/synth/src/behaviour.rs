//! Users and their events, made together: a chunk of users comes with everything these users did.

use crate::activity::{Activity, NewEvent};
use crate::adversarial_histories::AdversarialHistories;
use crate::container::{Entries, not_a_model};
use crate::crossover::{Copied, copy_sessions, cross};
use crate::extension::{Earlier, Extension};
use crate::independent::{IndependentRows, from_json, to_json};
use crate::interpolate::Blend;
use crate::learned::{Drawn, Learned};
use crate::learned_events::DrawnEvents;
use crate::manifest::{Making, Manifest, Origin};
use crate::permutation::balanced;
use crate::replicate::Bootstrap;
use crate::rows::{Frame, Numbering, indices_from_parquet, indices_to_parquet, take_rows, to_parquet};
use crate::rules::{Beside, Held};
use crate::sessions::Sessions;
use crate::similar::similar_users;
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::{cast, concat_batches, take, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use rand::Rng;
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use twinmart_tables::{Error, Method, Progress, ResampleUnit, Result, Shop, Stream};

const SIMILAR: &str = "behaviour/similar.parquet";
const ACTIVITY: &str = "behaviour/activity.json";
/// Bits of a random stream's number that count the events of one user; the rest is the user.
const EVENT_BITS: u32 = 24;

/// A model of users and events.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Made of training users.
    Copies(Box<Copies>),
    /// Made of distributions.
    Independent { users: IndependentRows, events: IndependentRows, activity: Box<Activity> },
    /// Made by the event model.
    Learned(Box<Learned>),
    /// Made by generators that were learned against discriminators.
    Adversarial(Box<AdversarialHistories>),
}

/// Training users, their events, and how new users come from them.
#[derive(Debug, Clone)]
pub(crate) struct Copies {
    users: RecordBatch,
    events: RecordBatch,
    sessions: Sessions,
    recipe: Recipe,
}

/// New users made of training users.
struct CopiedUsers {
    attributes: Vec<ArrayRef>,
    /// `[users]` their events.
    events: Vec<Vec<Copied>>,
    /// What came before these.
    earlier: Option<Earlier>,
}

#[derive(Debug, Clone)]
enum Recipe {
    Bootstrap {
        users: Bootstrap,
        unit: ResampleUnit,
        /// What short histories are extended by.
        extension: Option<Box<Extension>>,
    },
    Crossover {
        /// Attributes of the users, column by column.
        blends: Vec<Blend>,
        /// `[users][k]` most similar first; the user itself where nobody is similar.
        similar: Vec<u64>,
        k: usize,
        /// Users with events, and those without.
        active: Vec<u64>,
        idle: Vec<u64>,
        /// Nobody has more than one session, so every event is a border.
        single_events: bool,
    },
}

/// Where the tables and columns of behaviour lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) users: usize,
    pub(crate) items: usize,
    pub(crate) events: usize,
    pub(crate) user_column: usize,
    pub(crate) item_column: usize,
    pub(crate) time_column: Option<usize>,
}

impl Layout {
    /// The layout of a model with users and events.
    pub(crate) fn of(manifest: &Manifest) -> Result<Layout> {
        let broken = || not_a_model("its users and events do not fit together");
        let users = manifest.made_as(Making::Users).ok_or_else(broken)?;
        let events = manifest.made_as(Making::Events).ok_or_else(broken)?;
        let spec = &manifest.tables[events];
        let refers = |role| {
            let place = |o: &Origin| matches!(o, Origin::Reference(t) if manifest.tables[*t].role() == role);
            spec.origins(manifest).iter().position(place)
        };
        let user_column = refers(twinmart_tables::Role::Users).ok_or_else(broken)?;
        let item_column = refers(twinmart_tables::Role::Items).ok_or_else(broken)?;
        let Origin::Reference(items) = spec.origins(manifest)[item_column] else { return Err(broken()) };
        let time = spec.definition.time.as_ref();
        let time_column =
            time.map(|t| spec.columns.iter().position(|c| c.name == *t).ok_or_else(broken)).transpose()?;
        Ok(Layout { users, items, events, user_column, item_column, time_column })
    }

    /// True for columns of events that are no keys and name neither user, item nor time.
    pub(crate) fn is_detail(self, column: usize, manifest: &Manifest) -> bool {
        let given = [Some(self.user_column), Some(self.item_column), self.time_column];
        let origin = manifest.tables[self.events].origins(manifest).into_iter().nth(column);
        !given.contains(&Some(column)) && matches!(origin, Some(Origin::Value | Origin::Reference(_)))
    }
}

impl Behaviour {
    /// Learns users and events of a shop.
    pub(crate) fn fit(shop: &Shop, sessions: Sessions, manifest: &Manifest, progress: &Progress) -> Result<Behaviour> {
        let layout = Layout::of(manifest)?;
        let (users, items, events) = shop.behaviour()?;
        if manifest.method == Method::Autoregressive {
            let learned = Learned::fit(shop, &sessions, manifest, layout, progress)?;
            return Ok(Behaviour::Learned(Box::new(learned)));
        }
        if manifest.method == Method::Gan {
            let learned = AdversarialHistories::fit(shop, &sessions, manifest, layout, progress)?;
            return Ok(Behaviour::Adversarial(Box::new(learned)));
        }
        let (user_rows, event_rows) = (users.to_batch()?, events.to_batch()?);
        if manifest.method == Method::Independent {
            let people: Vec<u64> = (0..users.rows() as u64).collect();
            let mut doer = vec![0; events.rows()];
            for user in 0..sessions.users() {
                sessions.events_of_user(user).for_each(|e| doer[sessions.row[e] as usize] = user as u64);
            }
            let spec = &manifest.tables[layout.events];
            let given: Vec<usize> = [Some(layout.user_column), Some(layout.item_column), layout.time_column]
                .into_iter()
                .flatten()
                .collect();
            return Ok(Behaviour::Independent {
                users: IndependentRows::fit(&user_rows, &people, &manifest.tables[layout.users], manifest, &[])?,
                events: IndependentRows::fit(&event_rows, &doer, spec, manifest, &given)?,
                activity: Box::new(Activity::fit(&sessions, items.rows(), manifest.seed)?),
            });
        }
        let similar = match manifest.method {
            Method::Interpolate => similar_users(&sessions, manifest.settings.neighbours, progress)?,
            _ => Vec::new(),
        };
        let extends = manifest.settings.extends();
        let extension =
            extends.then(|| Extension::fit(shop, &sessions, manifest, layout, progress)).transpose()?.map(Box::new);
        let copies = Copies::new(user_rows, event_rows, sessions, (similar, extension), manifest, layout)?;
        Ok(Behaviour::Copies(Box::new(copies)))
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, manifest: &Manifest, entries: &mut Entries) -> Result<()> {
        let layout = Layout::of(manifest)?;
        let prefix = |table: usize| format!("tables/{table}");
        match self {
            Behaviour::Copies(copies) => {
                entries.put(format!("{}/rows.parquet", prefix(layout.users)), to_parquet(&copies.users)?);
                entries.put(format!("{}/rows.parquet", prefix(layout.events)), to_parquet(&copies.events)?);
                match &copies.recipe {
                    Recipe::Crossover { similar, .. } => entries.put(SIMILAR.into(), indices_to_parquet(similar)?),
                    Recipe::Bootstrap { extension: Some(extension), .. } => extension.store(layout, entries)?,
                    Recipe::Bootstrap { .. } => {}
                }
            }
            Behaviour::Independent { users, events, activity } => {
                users.store(&prefix(layout.users), entries)?;
                events.store(&prefix(layout.events), entries)?;
                entries.put(ACTIVITY.into(), to_json(activity.as_ref())?);
            }
            Behaviour::Learned(learned) => learned.store(layout, entries)?,
            Behaviour::Adversarial(learned) => learned.store(layout, entries)?,
        }
        Ok(())
    }

    /// Reads a model of distributions.
    pub(crate) fn load_independent(manifest: &Manifest, entries: &mut Entries) -> Result<Behaviour> {
        let layout = Layout::of(manifest)?;
        let mut rows =
            |table: usize| IndependentRows::load(&format!("tables/{table}"), entries, &manifest.tables[table]);
        let (users, events) = (rows(layout.users)?, rows(layout.events)?);
        let activity: Activity = from_json(&entries.take(ACTIVITY)?)?;
        activity.check(manifest.tables[layout.items].rows)?;
        Ok(Behaviour::Independent { users, events, activity: Box::new(activity) })
    }

    /// Reads a model of learned histories.
    pub(crate) fn load_learned(manifest: &Manifest, schemas: &[SchemaRef], entries: &mut Entries) -> Result<Behaviour> {
        let learned = Learned::load(manifest, Layout::of(manifest)?, schemas, entries)?;
        Ok(Behaviour::Learned(Box::new(learned)))
    }

    /// Reads a model of generators.
    pub(crate) fn load_adversarial(
        manifest: &Manifest,
        schemas: &[SchemaRef],
        entries: &mut Entries,
    ) -> Result<Behaviour> {
        let learned = AdversarialHistories::load(manifest, Layout::of(manifest)?, schemas, entries)?;
        Ok(Behaviour::Adversarial(Box::new(learned)))
    }

    /// Reads a model of training users from the shop that was stored with it.
    pub(crate) fn load_copies(
        shop: &Shop,
        manifest: &Manifest,
        schemas: &[SchemaRef],
        entries: &mut Entries,
    ) -> Result<Behaviour> {
        let layout = Layout::of(manifest)?;
        let sessions = Sessions::of_shop(shop)?;
        let (users, _, events) = shop.behaviour()?;
        let similar = match manifest.method {
            Method::Interpolate => {
                let count = sessions.users().saturating_mul(manifest.settings.neighbours);
                indices_from_parquet(entries.take(SIMILAR)?, Some(count), sessions.users() as u64)?
            }
            _ => Vec::new(),
        };
        let extends = manifest.settings.extends();
        let load = || Extension::load(manifest, layout, schemas, (&sessions, events), entries);
        let extension = extends.then(load).transpose()?.map(Box::new);
        let more = (similar, extension);
        let copies = Copies::new(users.to_batch()?, events.to_batch()?, sessions, more, manifest, layout)?;
        Ok(Behaviour::Copies(Box::new(copies)))
    }

    /// New users `range` and everything they did.
    pub(crate) fn batches(
        &self,
        frame: &Frame,
        layout: Layout,
        range: Range<u64>,
    ) -> Result<(RecordBatch, RecordBatch)> {
        let family = frame.draws.family("synth.user", &frame.manifest.tables[layout.users].name);
        let mut streams: Vec<Stream> = range.clone().map(|user| family.row(user)).collect();
        let (attributes, events) = match self {
            Behaviour::Copies(copies) => {
                let CopiedUsers { attributes, events, earlier } =
                    copies.draw(frame, layout, range.clone(), &mut streams)?;
                let copied = copies.event_columns(frame, layout, range.start, events, earlier.as_ref())?;
                let events = match copies.earlier_columns(earlier, &copied, frame, layout, range.start)? {
                    Some(earlier) => in_order([earlier, copied], frame, layout)?,
                    None => copied.finish(frame, layout)?,
                };
                (attributes, events)
            }
            Behaviour::Independent { users, events, activity } => {
                let new: Vec<Vec<NewEvent>> = streams.iter_mut().map(|s| activity.draw(s)).collect();
                let own = &frame.schemas[layout.users];
                let draw = |_: &[usize], streams: &mut [Stream]| users.draw(streams, own);
                let rules = &frame.manifest.tables[layout.users].rules;
                let attributes = rules.keep(&mut streams, own, &Beside::Nothing, draw)?;
                let schema = &frame.schemas[layout.events];
                let own = new.iter().map(|events| 0..events.len());
                let streams = event_streams(frame, layout, range.start, own);
                let columns = |_: &[usize], streams: &mut [Stream]| events.draw(streams, schema);
                let events = new_events(&new, &columns, streams, frame, layout, range.start)?;
                (attributes, events.finish(frame, layout)?)
            }
            Behaviour::Learned(learned) => {
                let drawn = learned.draw(&frame.manifest.tables[layout.users].rules, &mut streams)?;
                let columns = |drawn: &DrawnEvents, places: &[usize], streams: &mut [Stream]| {
                    learned.events.event_columns(drawn, places, &frame.schemas[layout.events], streams)
                };
                learned_events(drawn, &columns, frame, layout, range.start)?
            }
            Behaviour::Adversarial(learned) => {
                let drawn = learned.draw(&frame.manifest.tables[layout.users].rules, &mut streams)?;
                let columns = |drawn: &DrawnEvents, places: &[usize], streams: &mut [Stream]| {
                    learned.event_columns(drawn, places, &frame.schemas[layout.events], streams)
                };
                learned_events(drawn, &columns, frame, layout, range.start)?
            }
        };
        let users = frame.assemble(layout.users, attributes, &[], Numbering::Rows(range.start), &mut streams)?;
        Ok((users, events))
    }
}

/// Keys, groups and references of events in two parts, and all of them user by user in the order of their numbers.
fn in_order(parts: [EventColumns; 2], frame: &Frame, layout: Layout) -> Result<RecordBatch> {
    let names = parts.iter().flat_map(|part| part.user.iter().copied().zip(part.own.iter().copied()));
    let names: Vec<(u64, u64)> = names.collect();
    let mut order: Vec<u64> = (0..names.len() as u64).collect();
    order.sort_by_key(|event| names[*event as usize]);
    let [a, b] = parts;
    let all = concat_batches(&frame.schemas[layout.events], &[a.finish(frame, layout)?, b.finish(frame, layout)?])?;
    Ok(take_record_batch(&all, &UInt64Array::from(order))?)
}

/// What makes the columns of the drawn events at places that are neither keys nor times.
type EventColumnsOf<'a> = dyn Fn(&DrawnEvents, &[usize], &mut [Stream]) -> Result<Vec<ArrayRef>> + 'a;

/// What draws the rows at places, with their streams.
type DrawsAt<'a> = dyn Fn(&[usize], &mut [Stream]) -> Result<Vec<ArrayRef>> + 'a;

/// Attributes of drawn users, and their events; `first` is the number of the first user.
fn learned_events(
    drawn: Drawn,
    columns: &EventColumnsOf<'_>,
    frame: &Frame,
    layout: Layout,
    first: u64,
) -> Result<(Vec<ArrayRef>, RecordBatch)> {
    let own = drawn.events.events.iter().map(|events| 0..events.len());
    let streams = event_streams(frame, layout, first, own);
    let columns = |places: &[usize], streams: &mut [Stream]| columns(&drawn.events, places, streams);
    let new = forgetting_actions(&drawn.events);
    let events = new_events(&new, &columns, streams, frame, layout, first)?.finish(frame, layout)?;
    Ok((drawn.users, events))
}

/// Drawn events without what was done, which is a column by now.
fn forgetting_actions(drawn: &DrawnEvents) -> Vec<Vec<NewEvent>> {
    let of = |e: &twinmart_events::NewEvent| NewEvent { item: e.item, time: e.time, session: u64::from(e.session) };
    drawn.events.iter().map(|events| events.iter().map(of).collect()).collect()
}

/// The events of a chunk of users, before keys.
struct EventColumns {
    columns: Vec<ArrayRef>,
    /// `[events]` the new user.
    user: Vec<u64>,
    /// `[events]` the event's number within its user.
    own: Vec<u64>,
    /// `[events]` the session's number within its user; none where the data name no group.
    session: Vec<Option<u64>>,
    /// `[events]` position in the catalogue.
    item: Vec<u64>,
    streams: Vec<Stream>,
}

impl EventColumns {
    /// Leaves out the names of sessions that go on in copied events without one.
    fn named_as(mut self, copied: &EventColumns, sessions: &[u64], first: u64) -> EventColumns {
        let place = |user: u64| (user - first) as usize;
        let mut names: Vec<Option<Option<u64>>> = vec![None; sessions.len()];
        for (user, session) in copied.user.iter().zip(&copied.session) {
            names[place(*user)].get_or_insert(*session);
        }
        for (user, session) in self.user.iter().zip(&mut self.session) {
            if session.is_some_and(|s| s >= sessions[place(*user)]) {
                *session = names[place(*user)].flatten();
            }
        }
        self
    }

    /// Puts keys, groups and references in.
    fn finish(mut self, frame: &Frame, layout: Layout) -> Result<RecordBatch> {
        let spec = &frame.manifest.tables[layout.events];
        let schema = &frame.schemas[layout.events];
        let data_type = |column: usize| schema.field(column).data_type();
        self.columns[layout.user_column] =
            frame.key_style(layout.users)?.column(&self.user, data_type(layout.user_column))?;
        self.columns[layout.item_column] = match &frame.kept_keys[layout.items] {
            Some(keys) => {
                cast(&take(keys, &UInt64Array::from(self.item.clone()), None)?, data_type(layout.item_column))?
            }
            None => frame.key_style(layout.items)?.column(&self.item, data_type(layout.item_column))?,
        };
        for (column, origin) in spec.origins(frame.manifest).into_iter().enumerate() {
            if origin == Origin::Group {
                let style = spec.keys.get(&spec.columns[column].name);
                let style = style.ok_or_else(|| not_a_model("a group has no style"))?;
                let pairs = self.user.iter().zip(&self.session).map(|(u, s)| s.map(|s| (*u, s)));
                self.columns[column] = style.pairs(pairs, data_type(column))?;
            }
        }
        let given = [layout.user_column, layout.item_column];
        let numbering = Numbering::BelowUsers(&self.user, &self.own);
        frame.assemble(layout.events, self.columns, &given, numbering, &mut self.streams)
    }
}

/// One stream for each event of each user, who has those of such numbers.
fn event_streams(frame: &Frame, layout: Layout, first: u64, own: impl Iterator<Item = Range<usize>>) -> Vec<Stream> {
    let family = frame.draws.family("synth.event", &frame.manifest.tables[layout.events].name);
    let numbered = own.enumerate().flat_map(|(u, own)| own.map(move |own| (first + u as u64, own as u64)));
    numbered.map(|(user, own)| family.row((user << EVENT_BITS) | own)).collect()
}

/// Drawn events with their other columns, which `draw` makes of the events at places until all keep their rules.
fn new_events(
    new: &[Vec<NewEvent>],
    draw: &DrawsAt<'_>,
    mut streams: Vec<Stream>,
    frame: &Frame,
    layout: Layout,
    first: u64,
) -> Result<EventColumns> {
    let schema = &frame.schemas[layout.events];
    let times = |column: usize| -> Result<(usize, ArrayRef)> {
        let times: Int64Array = new.iter().flatten().map(|e| Some(e.time)).collect();
        Ok((column, times_as(times, schema.field(column).data_type())?))
    };
    let times = layout.time_column.map(times).transpose()?;
    let timed = |places: &[usize], streams: &mut [Stream]| {
        let mut columns = draw(places, streams)?;
        if let Some((column, times)) = &times {
            let places = UInt64Array::from_iter_values(places.iter().map(|place| *place as u64));
            columns[*column] = take(times, &places, None)?;
        }
        Ok(columns)
    };
    let rules = &frame.manifest.tables[layout.events].rules;
    let columns = rules.keep(&mut streams, schema, &Beside::Nothing, timed)?;
    let numbered = new.iter().enumerate().flat_map(|(u, events)| {
        events.iter().enumerate().map(move |(own, event)| (first + u as u64, own as u64, event))
    });
    let (mut user, mut own, mut session, mut item) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (u, o, event) in numbered {
        user.push(u);
        own.push(o);
        session.push(Some(event.session));
        item.push(u64::from(event.item));
    }
    Ok(EventColumns { columns, user, own, session, item, streams })
}

/// Times of histories (microseconds, or an order) in the type of the time column.
fn times_as(times: Int64Array, data_type: &DataType) -> Result<ArrayRef> {
    let times: ArrayRef = Arc::new(times);
    let zone = match data_type {
        t if t.is_integer() => return Ok(cast(&times, data_type)?),
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    Ok(cast(&cast(&times, &DataType::Timestamp(TimeUnit::Microsecond, zone))?, data_type)?)
}

/// Copied rows, with what formulas give; they cannot be drawn again.
fn copied_rows(frame: &Frame, table: usize, mut columns: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
    let (spec, schema) = (&frame.manifest.tables[table], &frame.schemas[table]);
    spec.rules.settle(&mut columns, schema, &Held::new())?;
    match spec.rules.broken(&columns, schema)?.first() {
        None => Ok(columns),
        Some((constraint, rows)) => {
            let text =
                format!("{rows} copied rows break the constraint `{constraint}`, and copies cannot be drawn again");
            let remedy = "drop such rows (drop_invalid under [clean]), or fit by the method autoregressive";
            Err(Error::usage(text).table(&spec.name).remedy(remedy).into())
        }
    }
}

impl Copies {
    fn new(
        users: RecordBatch,
        events: RecordBatch,
        sessions: Sessions,
        (similar, extension): (Vec<u64>, Option<Box<Extension>>),
        manifest: &Manifest,
        layout: Layout,
    ) -> Result<Copies> {
        let settings = &manifest.settings;
        let recipe = match manifest.method {
            Method::Interpolate => {
                let has_events = |u: &u64| !sessions.of_user(*u as usize).is_empty();
                let (active, idle) = (0..sessions.users() as u64).partition(has_events);
                Recipe::Crossover {
                    blends: Blend::of(&users, &manifest.tables[layout.users])?,
                    similar,
                    k: settings.neighbours,
                    active,
                    idle,
                    single_events: (0..sessions.users()).all(|u| sessions.of_user(u).len() <= 1),
                }
            }
            _ => Recipe::Bootstrap {
                users: Bootstrap::new(users.clone(), settings.weights.as_deref())?,
                unit: settings.unit,
                extension,
            },
        };
        Ok(Copies { users, events, sessions, recipe })
    }

    fn draw(&self, frame: &Frame, layout: Layout, range: Range<u64>, streams: &mut [Stream]) -> Result<CopiedUsers> {
        match &self.recipe {
            Recipe::Bootstrap { users, unit, extension } => {
                let rows: Vec<u64> = streams.iter_mut().map(|s| users.draw_row(s)).collect();
                let copied = rows.iter().zip(streams.iter_mut());
                let events: Vec<_> = copied.map(|(row, s)| self.replicate(*row as usize, *unit, s)).collect();
                let extend = |extension: &Extension| extension.draw(&self.sessions, &events, &rows, streams);
                let earlier = extension.as_deref().map(extend).transpose()?;
                let attributes = copied_rows(frame, layout.users, users.rows_at(rows.into_iter())?)?;
                Ok(CopiedUsers { attributes, events, earlier })
            }
            Recipe::Crossover { blends, single_events, .. } => {
                let name = &frame.manifest.tables[layout.users].name;
                let base = |user| balanced(frame.draws.seed(), name, user, self.sessions.users() as u64);
                let parents: Vec<[usize; 2]> =
                    range.zip(streams.iter_mut()).map(|(user, s)| self.parents(base(user), s)).collect();
                let crossed = parents.iter().zip(streams.iter_mut());
                let events = crossed.map(|(p, s)| cross(&self.sessions, *p, *single_events, s)).collect();
                let schema = &frame.schemas[layout.users];
                let is_first = Cell::new(true);
                // A user between two of whom attributes break a rule has those of the first.
                let draw = |places: &[usize], streams: &mut [Stream]| {
                    let first = is_first.replace(false);
                    let pair = |place: &usize| if first { parents[*place] } else { [parents[*place][0]; 2] };
                    let pairs: Vec<[usize; 2]> = places.iter().map(pair).collect();
                    let column = |(position, blend): (usize, &Blend)| {
                        blend.cross(self.users.column(position), &pairs, schema.field(position).data_type(), streams)
                    };
                    blends.iter().enumerate().map(column).collect::<Result<_>>()
                };
                let attributes =
                    frame.manifest.tables[layout.users].rules.keep(streams, schema, &Beside::Nothing, draw)?;
                Ok(CopiedUsers { attributes, events, earlier: None })
            }
        }
    }

    fn replicate(&self, user: usize, unit: ResampleUnit, stream: &mut Stream) -> Vec<Copied> {
        let own = self.sessions.of_user(user);
        let chosen = match unit {
            ResampleUnit::Users => own.collect(),
            ResampleUnit::Sessions => (0..own.len()).map(|_| stream.random_range(own.clone())).collect(),
        };
        copy_sessions(&self.sessions, chosen)
    }

    /// A user and one of the most similar ones. Where nobody is similar, anybody who is as active (at all, or not at all).
    fn parents(&self, base: u64, stream: &mut Stream) -> [usize; 2] {
        let Recipe::Crossover { similar, k, active, idle, .. } = &self.recipe else { return [base as usize; 2] };
        let nearest = &similar[base as usize * k..(base as usize + 1) * k];
        let other = if nearest[0] == base {
            let alike = if self.sessions.of_user(base as usize).is_empty() { idle } else { active };
            alike[stream.random_range(0..alike.len())]
        } else {
            nearest[stream.random_range(0..*k)]
        };
        [base as usize, other as usize]
    }

    /// The columns of copied events: values from the training event, time and group from the event whose place it takes.
    /// They are numbered behind `earlier` ones.
    fn event_columns(
        &self,
        frame: &Frame,
        layout: Layout,
        first: u64,
        new: Vec<Vec<Copied>>,
        earlier: Option<&Earlier>,
    ) -> Result<EventColumns> {
        let before = |user: usize| earlier.map_or((0, 0), |e| (e.drawn.events[user].len(), e.sessions[user]));
        let numbers = new.iter().enumerate().map(|(user, events)| before(user).0..before(user).0 + events.len());
        let streams = event_streams(frame, layout, first, numbers);
        let rows = |of: fn(&Copied) -> usize| {
            UInt64Array::from_iter_values(new.iter().flatten().map(|c| self.sessions.row[of(c)]))
        };
        let (own_row, moment_row) = (rows(|c| c.event), rows(|c| c.moment));
        let mut columns = take_rows(&self.events, &own_row)?;
        if let Some(column) = layout.time_column {
            columns[column] = take(self.events.column(column), &moment_row, None)?;
        }
        let columns = copied_rows(frame, layout.events, columns)?;
        let origins = frame.manifest.tables[layout.events].origins(frame.manifest);
        let group = origins.iter().position(|o| *o == Origin::Group).map(|column| self.events.column(column));
        let is_named = |event: usize| group.is_none_or(|g| g.is_valid(self.sessions.row[event] as usize));
        let (mut user, mut own, mut session, mut item) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (u, events) in new.iter().enumerate() {
            for (o, copied) in events.iter().enumerate() {
                user.push(first + u as u64);
                own.push((before(u).0 + o) as u64);
                session.push(is_named(copied.moment).then_some(before(u).1 + copied.session));
                item.push(u64::from(self.sessions.item[copied.event]));
            }
        }
        Ok(EventColumns { columns, user, own, session, item, streams })
    }

    /// The columns of earlier events; `copied` follow them.
    fn earlier_columns(
        &self,
        earlier: Option<Earlier>,
        copied: &EventColumns,
        frame: &Frame,
        layout: Layout,
        first: u64,
    ) -> Result<Option<EventColumns>> {
        let (Some(Earlier { drawn, sessions }), Recipe::Bootstrap { extension: Some(extension), .. }) =
            (earlier, &self.recipe)
        else {
            return Ok(None);
        };
        let streams = event_streams(frame, layout, first, drawn.events.iter().map(|events| 0..events.len()));
        let columns = |places: &[usize], streams: &mut [Stream]| {
            extension.learned.event_columns(&drawn, places, &frame.schemas[layout.events], streams)
        };
        let new = new_events(&forgetting_actions(&drawn), &columns, streams, frame, layout, first)?;
        Ok(Some(new.named_as(copied, &sessions, first)))
    }
}
