//! `twinmart bench events`: its flags, and the part that runs in processes of their own.

use crate::bench::events::{self, Case, Peer, Plan, Shop};
use crate::bench::generated::Size;
use crate::screen::Screen;
use std::path::PathBuf;
use twinmart_tables::{Error, Preset, Result};

/// Measure what learning and drawing histories costs: events a second, memory, share of the machine's peak
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart bench events examples/online-retail/twinmart.toml\n\nHow costs grow with users, items and the length of histories:\n  bench events --generated --grow\n\nA large shop:\n  bench events --generated --users 100000 --items 100000 --events 10000000\n\nThe same network in PyTorch (bench/peers/events_pytorch.py):\n  bench events examples/online-retail/twinmart.toml --json > ours.json\n  python bench/peers/events_pytorch.py ours.json --out pytorch.json\n  bench events examples/online-retail/twinmart.toml --peer pytorch.json\n\nA fit of --steps steps and a draw run in processes of their own, whose largest resident memory is shown (on Linux). Learned\nevents a second are the median over steps; drawn ones are of about --draw-events events with everything that a twin has,\nwriting included. Preparation is all of the fit that is neither learning nor calibration. cpu µs are processor\nmicroseconds of one event; they hold on a shared machine, seconds do not. Shares are of the flops a second\nthat products of matrices reach on the same threads in the same process; flops of the network are counted in closed form,\nnine tenths of them products of matrices."
)]
pub(crate) struct EventArguments {
    /// A project file with users, items and events
    #[arg(value_name = "PROJECT", required_unless_present = "generated", conflicts_with = "generated")]
    project: Option<PathBuf>,
    /// Measure a generated shop
    #[arg(long)]
    generated: bool,
    /// Users of the generated shop
    #[arg(long, value_name = "N", requires = "generated", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    users: u64,
    /// Items of the generated shop
    #[arg(long, value_name = "N", requires = "generated", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    items: u64,
    /// Events of the generated shop
    #[arg(long, value_name = "N", requires = "generated", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Measure generated shops with ten times the users, the items, and the events of each user as well
    #[arg(long, requires = "generated")]
    grow: bool,
    /// Steps of learning to measure
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..))]
    steps: u64,
    /// Events to draw, about
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    draw_events: u64,
    /// Size of the model: small, base or large
    #[arg(long, default_value = "small", value_parser = super::fit::preset)]
    preset: Preset,
    /// Result of bench/peers/events_pytorch.py to show in the same table
    #[arg(long, value_name = "FILE")]
    peer: Option<PathBuf>,
}

/// One piece of the work, for a process of its own
#[derive(Debug, clap::Args)]
pub(crate) struct PartArguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    Fit(FitArguments),
    Draw(DrawArguments),
}

/// Fit a project
#[derive(Debug, clap::Args)]
struct FitArguments {
    project: PathBuf,
    /// The model file to write
    model: PathBuf,
    /// The result to write
    out: PathBuf,
    #[arg(long)]
    steps: u64,
    #[arg(long, value_parser = super::fit::preset)]
    preset: Preset,
}

/// Draw users
#[derive(Debug, clap::Args)]
struct DrawArguments {
    /// Takes the twin for a while
    folder: PathBuf,
    model: PathBuf,
    /// The result to write
    out: PathBuf,
    #[arg(long)]
    users: u64,
}

pub(super) fn run(arguments: &EventArguments, screen: &Screen) -> Result<()> {
    let base = Size { users: arguments.users, items: arguments.items, events: arguments.events };
    let shops = match &arguments.project {
        Some(project) => vec![Shop::Project(project.clone())],
        None if arguments.grow => events::growing(base),
        None => vec![Shop::Generated("generated", base)],
    };
    let peer: Option<Peer> = arguments.peer.as_deref().map(crate::stages::read_json).transpose()?;
    let plan = Plan {
        steps: arguments.steps,
        draw_events: arguments.draw_events,
        preset: arguments.preset,
        seed: screen.seed(0),
    };
    let scratch = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), e))?;
    let measured = shops.iter().map(|shop| events::measure(shop, &plan, scratch.path(), &screen.progress));
    let cases = measured.collect::<Result<Vec<Case>>>()?;
    let value = serde_json::json!({
        "version": 1, "seed": plan.seed, "threads": rayon::current_num_threads(), "preset": plan.preset,
        "steps": plan.steps, "cases": cases, "peer": peer,
    });
    screen.result(&events::text(&cases, peer.as_ref()), &value)
}

pub(super) fn run_part(arguments: &PartArguments, screen: &Screen) -> Result<()> {
    let seed = screen.seed(0);
    match &arguments.part {
        Part::Fit(FitArguments { project, model, out, steps, preset }) => {
            let plan = Plan { steps: *steps, draw_events: 0, preset: *preset, seed };
            events::fit_part(project, model, out, &plan)
        }
        Part::Draw(DrawArguments { folder, model, out, users }) => events::draw_part(folder, model, out, *users, seed),
    }
}
