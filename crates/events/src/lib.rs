//! The event model: histories of users, learned and drawn event by event.
//!
//! [`Sequences`] (users × events) are what it learns from. [`EventModel::fit`] learns, [`EventModel::draw`] draws.

mod calibrate;
mod catalogue;
mod clock;
mod clustered;
mod clusters;
mod corrections;
mod cost;
mod counts;
mod directions;
mod draw;
mod fit;
mod items;
mod layout;
mod learn;
mod likeness;
mod model;
mod pass;
mod places;
mod predict;
mod recall;
mod resume;
mod reversal;
mod rhythm;
mod sequences;
mod slopes;
mod steps;
mod summary;
mod taste;
mod telling;

pub use catalogue::Catalogue;
pub use clock::{Clock, SECOND_CLASSES, second_class};
pub use cost::Cost;
pub use counts::Companions;
pub use draw::{NewEvent, Plan};
pub use learn::{Care, Fitting};
pub use model::{EventModel, Profiles, Structure};
pub use predict::{Next, Predictor, Ranking, Reasons};
pub use reversal::Reversal;
pub use sequences::Sequences;
pub use steps::{EVENT_CLASSES, SESSION_CLASSES};
pub use summary::Summary;
pub use taste::Tastes;
pub use twinmart_nets::decoder::Shape;
