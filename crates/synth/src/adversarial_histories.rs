//! `gan` for users and events: profiles by a GAN of rows, the events of each by a GAN of histories.
//!
//! ```text
//! users' columns + short forms of their histories ─► GAN of rows      ─► attributes and plan of a new user
//! histories                                       ─► GAN of histories ─► items, times, sessions, actions of a plan
//! other columns of events, given item and user    ─► row model        ─► the rest of each event
//! ```
//!
//! No part holds a training row: see [`Adversarial`] and [`HistoryGan`].

use crate::adversarial::{Adversarial, settings};
use crate::behaviour::Layout;
use crate::container::{Entries, not_a_model};
use crate::density::{from_bytes, to_bytes, words_from_bytes, words_to_bytes};
use crate::details::Details;
use crate::independent::{from_json, to_json};
use crate::learned::{Drawn, Planned, Prepared, draw_users, fields_of, profiles_of, users_spec};
use crate::learned_events::{Actions, DrawnEvents, event_columns};
use crate::manifest::Manifest;
use crate::plans::Plans;
use crate::rules::Rules;
use crate::sessions::Sessions;
use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use std::time::{Duration, Instant};
use twinmart_events::Care;
use twinmart_gan::Fitting;
use twinmart_gan::histories::HistoryGan;
use twinmart_gan::log::Log;
use twinmart_tables::{Draws, Progress, Result, Shop, Stream};

const PLANS: &str = "behaviour/plans.json";
const STRUCTURE: &str = "behaviour/gan.json";
const NUMBERS: &str = "behaviour/gan.f32";
const PLACES: &str = "behaviour/gan.u32";
/// Share of the time that profiles may take.
const OF_PROFILES: f64 = 0.25;

/// A learned GAN of users and events.
#[derive(Debug, Clone)]
pub(crate) struct AdversarialHistories {
    users: Adversarial,
    /// The users' columns and those of their plans.
    schema: SchemaRef,
    plans: Plans,
    histories: HistoryGan,
    details: Option<Details>,
    actions: Option<Actions>,
}

impl AdversarialHistories {
    /// Learns users and events of a shop. `progress` tells of it and interrupts it.
    pub(crate) fn fit(
        shop: &Shop,
        sessions: &Sessions,
        manifest: &Manifest,
        layout: Layout,
        progress: &Progress,
    ) -> Result<AdversarialHistories> {
        let (began, regained) = (Instant::now(), progress.regained());
        let (_, items, events) = shop.behaviour()?;
        let draws = Draws::new(manifest.seed);
        let Prepared { actions, sequences, summary, details, spec, schema, rows } =
            Prepared::of(shop, sessions, manifest, layout, Care::default(), progress)?;
        let people: Vec<u64> = (0..rows.num_rows() as u64).collect();
        let minutes = manifest.settings.max_minutes;
        let effort = (OF_PROFILES * minutes, manifest.settings.steps);
        let model = Adversarial::fit(&rows, &people, &spec, manifest, effort, progress)?;
        let own = manifest.tables[layout.users].columns.len();
        let encoding = model.encoding();
        let profiles = profiles_of(&encoding.sub_columns(), &encoding.encode(rows.columns())?, own);

        let before = progress.regained().saturating_sub(regained);
        let left = Duration::from_secs_f64(0.85 * minutes * 60.0).saturating_sub(before);
        let progress = progress.of_table(&events.name);
        let fitting = Fitting { draws, deadline: Some(began + left), progress, table: events.name.clone() };
        let settings = settings(manifest, manifest.settings.steps);
        let histories = HistoryGan::fit(&sequences, items.rows(), (&summary, &profiles), settings, &fitting)?;
        if histories.is_unfinished() {
            crate::adversarial::warn_of_time(&fitting.progress, &events.name, minutes, histories.log());
        }
        Ok(AdversarialHistories { users: model, schema, plans: Plans::of(&summary), histories, details, actions })
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, layout: Layout, entries: &mut Entries) -> Result<()> {
        self.users.store(&format!("tables/{}", layout.users), entries)?;
        if let Some(details) = &self.details {
            details.store(&format!("tables/{}", layout.events), entries)?;
        }
        entries.put(PLANS.into(), to_json(&self.plans)?);
        Actions::store(self.actions.as_ref(), entries)?;
        let (structure, numbers, places) = self.histories.parts();
        entries.put(STRUCTURE.into(), to_json(structure)?);
        entries.put(NUMBERS.into(), to_bytes(&numbers));
        entries.put(PLACES.into(), words_to_bytes(&places));
        Ok(())
    }

    /// Reads what [`AdversarialHistories::store`] wrote.
    pub(crate) fn load(
        manifest: &Manifest,
        layout: Layout,
        schemas: &[SchemaRef],
        entries: &mut Entries,
    ) -> Result<AdversarialHistories> {
        let plans: Plans = from_json(&entries.take(PLANS)?)?;
        if !plans.is_sound() {
            return Err(not_a_model("its plans of histories contradict themselves"));
        }
        let actions = Actions::load(manifest, layout, entries)?;
        let structure = from_json(&entries.take(STRUCTURE)?)?;
        let (numbers, places) = (from_bytes(&entries.take(NUMBERS)?), words_from_bytes(&entries.take(PLACES)?));
        let rows = usize::try_from(manifest.tables[layout.items].rows).unwrap_or(usize::MAX);
        let histories = HistoryGan::from_parts(structure, rows, &numbers, &places)
            .filter(|gan| gan.sizes().1 <= actions.as_ref().map_or(1, |a| a.values.len()))
            .ok_or_else(|| not_a_model("what was learned of histories contradicts itself"))?;
        let action = actions.as_ref().map(|a| a.column);
        let items = histories.sizes().0;
        let details = Details::load(manifest, layout, action, &schemas[layout.events], items, entries)?;
        let (spec, schema) = users_spec(&manifest.tables[layout.users], &schemas[layout.users], details.as_ref());
        let users = Adversarial::load(&format!("tables/{}", layout.users), entries, &spec, manifest)?;
        let sizes = fields_of(&users.encoding().sub_columns(), manifest.tables[layout.users].columns.len());
        if sizes.iter().map(|f| f.1).ne(histories.profile_sizes().iter().copied()) {
            return Err(not_a_model("what was learned of histories does not fit the users"));
        }
        Ok(AdversarialHistories { users, schema, plans, histories, details, actions })
    }

    /// How learning went: of profiles, and of histories.
    pub(crate) fn logs(&self) -> [&Log; 2] {
        [self.users.log(), self.histories.log()]
    }

    /// New users with their events, one for each stream.
    pub(crate) fn draw(&self, rules: &Rules, streams: &mut [Stream]) -> Result<Drawn> {
        let encoding = self.users.encoding();
        let draw = |streams: &mut [Stream]| {
            let codes = self.users.draw_codes(streams);
            Ok((encoding.decode(&codes, streams, &self.schema)?, codes))
        };
        let (columns, codes) = draw_users(rules, streams, &self.schema, draw)?;
        let told = (&codes[..], &encoding.sub_columns()[..]);
        let planned = Planned::of(columns, told, &self.plans, self.details.as_ref(), streams);
        let events = self.histories.draw(&planned.plans, streams);
        Ok(Drawn { users: planned.users, events: DrawnEvents { events, usual: planned.usual } })
    }

    /// The columns of drawn events that are neither keys nor times, and nulls for those.
    pub(crate) fn event_columns(
        &self,
        drawn: &DrawnEvents,
        places: &[usize],
        schema: &SchemaRef,
        streams: &mut [Stream],
    ) -> Result<Vec<ArrayRef>> {
        event_columns((self.details.as_ref(), self.actions.as_ref()), drawn, places, schema, streams)
    }
}
