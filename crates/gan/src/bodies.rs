//! What generators and discriminators of rows are made of: layers (MLP), convolutions (CNN), or a recurrent unit that goes from
//! column to column (RNN).
//!
//! ```text
//! noise, condition ─► generator ─► numbers (tanh), scores ─► choices (softmax of scores + Gumbel noise) ─► row
//! rows, conditions ─► packs of rows ─► discriminator ─► one answer for each pack
//! ```
//!
//! Layers: Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019, §4.4; packs: Lin et al., "PacGAN", NeurIPS
//! 2018; choices: Jang et al., "Categorical reparameterization with Gumbel-softmax", ICLR 2017.

use crate::features::{Features, LARGEST};
use crate::noise::mask;
use crate::weights::{Layout, Linear, Matrix, Moments, Norm, Recurrent, Weights};
use std::ops::Range;
use twinmart_nets::graph::{Graph, Spans, Var, Windows};
use twinmart_tables::{Body, Stream};

/// Numbers of noise that a row is made of.
pub(crate) const NOISE: usize = 128;
/// Units of a layer.
const WIDTH: usize = 256;
/// Units of a recurrent state.
const STATE: usize = 128;
/// Numbers that a recurrent unit is told of a column.
const TOLD: usize = 64;
/// A choice among more than these is told in [`EMBEDDED`] numbers.
const LISTED: usize = 50;
const EMBEDDED: usize = 16;
/// Softmax of scores divided by this is nearly one choice.
const TEMPERATURE: f32 = 0.2;
/// What a discriminator leaves of negative numbers.
const LEAK: f32 = 0.2;
/// Places and channels of the line that convolutions work on.
const PLACES: usize = 16;
const CHANNELS: usize = 32;

/// Random numbers that rows are made of, and what is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prior {
    /// `[rows, NOISE]`
    pub(crate) noise: Var,
    /// `[rows, columns of a condition]`
    pub(crate) condition: Option<Var>,
    /// `[rows, choices]`
    pub(crate) gumbel: Var,
}

/// Made rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    /// `[rows, numbers]`, between -4 and 4; `None` where there are no numbers.
    pub(crate) numbers: Option<Var>,
    /// `[rows, choices]`, without noise.
    pub(crate) scores: Var,
    /// `[rows, numbers + choices]` as a discriminator sees them.
    pub(crate) rows: Var,
}

/// Choices among many as few numbers.
#[derive(Debug, Clone)]
struct Compact {
    pieces: Vec<Piece>,
    width: usize,
}

#[derive(Debug, Clone)]
enum Piece {
    Kept(Range<usize>),
    Embedded(Range<usize>, Matrix),
}

impl Compact {
    /// For columns that follow each other, `kept` ones first.
    fn new(layout: &mut Layout, kept: usize, choices: impl Iterator<Item = usize>) -> Compact {
        let (mut pieces, mut start, mut at, mut width) = (Vec::new(), 0, kept, 0);
        for count in choices {
            if count > LISTED {
                if at > start {
                    pieces.push(Piece::Kept(start..at));
                    width += at - start;
                }
                pieces.push(Piece::Embedded(at..at + count, layout.matrix(count, EMBEDDED)));
                width += EMBEDDED;
                start = at + count;
            }
            at += count;
        }
        if at > start {
            pieces.push(Piece::Kept(start..at));
            width += at - start;
        }
        Compact { pieces, width }
    }

    fn of(&self, graph: &mut Graph, weights: &Weights, x: Var) -> Var {
        if let [Piece::Kept(_)] = self.pieces[..] {
            return x;
        }
        let one = |piece: &Piece, graph: &mut Graph| match piece {
            Piece::Kept(columns) => graph.columns(x, columns.clone()),
            Piece::Embedded(columns, matrix) => {
                let choice = graph.columns(x, columns.clone());
                graph.product(choice, weights.of(*matrix))
            }
        };
        let parts: Vec<Var> = self.pieces.iter().map(|piece| one(piece, graph)).collect();
        graph.join(&parts)
    }
}

/// The choices that a condition has columns for, by block.
pub(crate) type AskedChoices = [usize];

/// Makes rows.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    pub(crate) layout: Layout,
    asked: Option<Compact>,
    body: GeneratorBody,
    numbers: usize,
    spans: Spans,
    /// For each block its number's column and its choices.
    blocks: Vec<(Option<usize>, Range<usize>)>,
}

#[derive(Debug, Clone)]
enum GeneratorBody {
    Mlp { layers: Vec<(Linear, Norm)>, head: Linear },
    Cnn { start: Linear, grow: (Matrix, Norm), mix: (Matrix, Norm), head: Linear },
    Rnn { start: Linear, context: Linear, unit: Recurrent, heads: Vec<(Linear, Linear)> },
}

impl Generator {
    pub(crate) fn new(body: Body, features: &Features, asked: &AskedChoices) -> Generator {
        let mut layout = Layout::default();
        let compact = (!asked.is_empty()).then(|| Compact::new(&mut layout, 0, asked.iter().copied()));
        let inputs = NOISE + compact.as_ref().map_or(0, |c| c.width);
        let layout_ref = &mut layout;
        let body = match body {
            Body::Mlp => {
                let mut width = inputs;
                let layers = (0..2).map(|_| {
                    let layer = (Linear::new(layout_ref, width, WIDTH), Norm::new(layout_ref, WIDTH));
                    width += WIDTH;
                    layer
                });
                let layers = layers.collect();
                GeneratorBody::Mlp { layers, head: Linear::new(layout_ref, width, features.width()) }
            }
            Body::Cnn => GeneratorBody::Cnn {
                start: Linear::new(layout_ref, inputs, PLACES / 2 * 2 * CHANNELS),
                grow: (layout_ref.matrix(2 * CHANNELS, 4 * CHANNELS), Norm::new(layout_ref, CHANNELS)),
                mix: (layout_ref.matrix(3 * CHANNELS, CHANNELS), Norm::new(layout_ref, CHANNELS)),
                head: Linear::new(layout_ref, PLACES * CHANNELS + inputs, features.width()),
            },
            Body::Rnn => {
                let start = Linear::new(layout_ref, inputs, STATE);
                let context = Linear::new(layout_ref, inputs, TOLD);
                let unit = Recurrent::new(layout_ref, 2 * TOLD, STATE);
                let heads = features.blocks.iter().map(|block| {
                    let width = usize::from(block.number.is_some()) + block.choices.len();
                    (Linear::new(layout_ref, STATE, width), Linear::new(layout_ref, width, TOLD))
                });
                GeneratorBody::Rnn { start, context, unit, heads: heads.collect() }
            }
        };
        let blocks = features.blocks.iter().map(|block| (block.number, block.choices.clone())).collect();
        Generator { layout, asked: compact, body, numbers: features.numbers, spans: features.spans.clone(), blocks }
    }

    /// Columns that are normalized, in all layers.
    pub(crate) fn normalized(&self) -> usize {
        match self.body {
            GeneratorBody::Mlp { .. } => 2 * WIDTH,
            GeneratorBody::Cnn { .. } => 2 * CHANNELS,
            GeneratorBody::Rnn { .. } => 0,
        }
    }

    /// Makes rows; `moments` says what normalization goes by.
    pub(crate) fn make(&self, graph: &mut Graph, weights: &Weights, prior: Prior, moments: &mut Moments) -> Made {
        let input = match (&self.asked, prior.condition) {
            (Some(compact), Some(condition)) => {
                let asked = compact.of(graph, weights, condition);
                graph.join(&[prior.noise, asked])
            }
            _ => prior.noise,
        };
        match &self.body {
            GeneratorBody::Mlp { layers, head } => {
                let mut x = input;
                for (layer, norm) in layers {
                    let y = layer.of(graph, weights, x);
                    let y = norm.of(graph, weights, y, moments);
                    let y = graph.leaky(y, 0.0);
                    x = graph.join(&[y, x]);
                }
                let out = head.of(graph, weights, x);
                self.finish(graph, out, prior.gumbel)
            }
            GeneratorBody::Cnn { start, grow, mix, head } => {
                let x = start.of(graph, weights, input);
                let x = graph.leaky(x, 0.0);
                let places = graph.reshape(x, 2 * CHANNELS);
                let windows = graph.product(places, weights.of(grow.0));
                let line = Windows { places: PLACES, channels: CHANNELS, width: 4, stride: 2, margin: 1 };
                let x = graph.fold(windows, line);
                let x = normal_places(graph, weights, x, &grow.1, moments);
                let line = Windows { places: PLACES, channels: CHANNELS, width: 3, stride: 1, margin: 1 };
                let windows = graph.unfold(x, line);
                let mixed = graph.product(windows, weights.of(mix.0));
                let mixed = graph.reshape(mixed, PLACES * CHANNELS);
                let mixed = normal_places(graph, weights, mixed, &mix.1, moments);
                let all = graph.join(&[mixed, input]);
                let out = head.of(graph, weights, all);
                self.finish(graph, out, prior.gumbel)
            }
            GeneratorBody::Rnn { start, context, unit, heads } => {
                let state = start.of(graph, weights, input);
                let state = graph.tanh(state);
                let context = context.of(graph, weights, input);
                self.column_by_column(graph, weights, (unit, heads), (state, context), prior.gumbel)
            }
        }
    }

    fn column_by_column(
        &self,
        graph: &mut Graph,
        weights: &Weights,
        (unit, heads): (&Recurrent, &[(Linear, Linear)]),
        (mut state, context): (Var, Var),
        gumbel: Var,
    ) -> Made {
        let rows = graph.shape(context)[0];
        let mut told = graph.filled([rows, TOLD], 0.0);
        let (mut numbers, mut scores, mut choices) = (Vec::new(), Vec::new(), Vec::new());
        for ((head, tell), (number, columns)) in heads.iter().zip(&self.blocks) {
            let input = graph.join(&[told, context]);
            state = unit.step(graph, weights, input, state);
            let out = head.of(graph, weights, state);
            let width = graph.shape(out)[1];
            let first = usize::from(number.is_some());
            let score = graph.columns(out, first..width);
            let noise = graph.columns(gumbel, columns.clone());
            let spans: Spans = vec![0, columns.len()].into();
            let choice = softened(graph, score, noise, &spans);
            let mut column = vec![choice];
            if number.is_some() {
                let number = graph.columns(out, 0..1);
                let number = bounded(graph, number);
                column.insert(0, number);
                numbers.push(number);
            }
            let column = graph.join(&column);
            told = tell.of(graph, weights, column);
            scores.push(score);
            choices.push(choice);
        }
        let numbers = (!numbers.is_empty()).then(|| graph.join(&numbers));
        let (scores, choices) = (graph.join(&scores), graph.join(&choices));
        Made { numbers, scores, rows: with_numbers(graph, numbers, choices) }
    }

    /// Rows from the numbers of all columns, `[rows, numbers + choices]`.
    fn finish(&self, graph: &mut Graph, out: Var, gumbel: Var) -> Made {
        let width = graph.shape(out)[1];
        let numbers = (self.numbers > 0).then(|| {
            let numbers = graph.columns(out, 0..self.numbers);
            bounded(graph, numbers)
        });
        let scores = graph.columns(out, self.numbers..width);
        let choices = softened(graph, scores, gumbel, &self.spans);
        Made { numbers, scores, rows: with_numbers(graph, numbers, choices) }
    }
}

/// Lines, `[rows, places · channels]`, normalized by channel, without their negative numbers.
fn normal_places(graph: &mut Graph, weights: &Weights, x: Var, norm: &Norm, moments: &mut Moments) -> Var {
    let columns = graph.shape(x)[1];
    let places = graph.reshape(x, CHANNELS);
    let places = norm.of(graph, weights, places, moments);
    let places = graph.leaky(places, 0.0);
    graph.reshape(places, columns)
}

/// Numbers within what numbers of real rows are.
fn bounded(graph: &mut Graph, x: Var) -> Var {
    let x = graph.scale(x, 1.0 / LARGEST);
    let x = graph.tanh(x);
    graph.scale(x, LARGEST)
}

fn with_numbers(graph: &mut Graph, numbers: Option<Var>, choices: Var) -> Var {
    match numbers {
        Some(numbers) => graph.join(&[numbers, choices]),
        None => choices,
    }
}

/// Nearly one choice in each span, drawn by the softmax of the scores.
fn softened(graph: &mut Graph, scores: Var, gumbel: Var, spans: &Spans) -> Var {
    let noisy = graph.add(scores, gumbel);
    let sharp = graph.scale(noisy, 1.0 / TEMPERATURE);
    graph.softmax(sharp, spans)
}

/// Leaves out some of the units while learning.
#[derive(Debug)]
pub(crate) struct Dropout<'a>(pub(crate) Option<&'a mut Stream>);

impl Dropout<'_> {
    fn of(&mut self, graph: &mut Graph, x: Var) -> Var {
        let Some(stream) = &mut self.0 else { return x };
        let [rows, columns] = graph.shape(x);
        let mask = graph.given(mask(rows * columns, stream), columns);
        graph.multiply(x, mask)
    }
}

/// Tells packs of real rows from packs of made ones.
#[derive(Debug, Clone)]
pub(crate) struct Discriminator {
    pub(crate) layout: Layout,
    pack: usize,
    row: Compact,
    asked: Option<Compact>,
    body: DiscriminatorBody,
}

#[derive(Debug, Clone)]
enum DiscriminatorBody {
    Mlp { layers: Vec<Linear>, answer: Linear },
    Cnn { start: Linear, layers: Vec<(Linear, Windows)>, answer: Linear },
    Rnn { columns: Vec<(Range<usize>, Linear)>, asked: Option<Linear>, unit: Recurrent, answer: Linear },
}

impl Discriminator {
    pub(crate) fn new(body: Body, features: &Features, asked: &AskedChoices, pack: usize) -> Discriminator {
        let mut layout = Layout::default();
        let blocks = || features.blocks.iter().map(|block| block.choices.len());
        let row = Compact::new(&mut layout, features.numbers, blocks());
        let asked = (!asked.is_empty()).then(|| Compact::new(&mut layout, 0, asked.iter().copied()));
        let of_asked = asked.as_ref().map_or(0, |compact| compact.width);
        let inputs = pack * (row.width + of_asked);
        let layout_ref = &mut layout;
        let body = match body {
            Body::Mlp => DiscriminatorBody::Mlp {
                layers: vec![Linear::new(layout_ref, inputs, WIDTH), Linear::new(layout_ref, WIDTH, WIDTH)],
                answer: Linear::new(layout_ref, WIDTH, 1),
            },
            Body::Cnn => {
                let windows =
                    |places: usize, channels: usize| Windows { places, channels, width: 4, stride: 2, margin: 1 };
                let layers = [windows(PLACES, CHANNELS), windows(PLACES / 2, 2 * CHANNELS)];
                DiscriminatorBody::Cnn {
                    start: Linear::new(layout_ref, inputs, PLACES * CHANNELS),
                    layers: layers.map(|w| (Linear::new(layout_ref, 4 * w.channels, 2 * w.channels), w)).to_vec(),
                    answer: Linear::new(layout_ref, PLACES * CHANNELS, 1),
                }
            }
            Body::Rnn => DiscriminatorBody::Rnn {
                columns: row
                    .by_block(features)
                    .into_iter()
                    .map(|c| {
                        let layer = Linear::new(layout_ref, pack * c.len(), TOLD);
                        (c, layer)
                    })
                    .collect(),
                asked: (of_asked > 0).then(|| Linear::new(layout_ref, pack * of_asked, STATE)),
                unit: Recurrent::new(layout_ref, TOLD, STATE),
                answer: Linear::new(layout_ref, STATE, 1),
            },
        };
        Discriminator { layout, pack, row, asked, body }
    }

    /// One answer for each pack, `[rows / pack, 1]`: large for real rows.
    pub(crate) fn judge(
        &self,
        graph: &mut Graph,
        weights: &Weights,
        (rows, condition): (Var, Option<Var>),
        dropout: &mut Dropout,
    ) -> Var {
        let row = self.row.of(graph, weights, rows);
        let asked = self.asked.as_ref().zip(condition).map(|(compact, c)| compact.of(graph, weights, c));
        match &self.body {
            DiscriminatorBody::Mlp { layers, answer } => {
                let mut x = self.packed(graph, row, asked);
                for layer in layers {
                    let y = layer.of(graph, weights, x);
                    let y = graph.leaky(y, LEAK);
                    x = dropout.of(graph, y);
                }
                answer.of(graph, weights, x)
            }
            DiscriminatorBody::Cnn { start, layers, answer } => {
                let x = self.packed(graph, row, asked);
                let x = start.of(graph, weights, x);
                let mut x = graph.leaky(x, LEAK);
                for (layer, line) in layers {
                    let windows = graph.unfold(x, *line);
                    let y = layer.of(graph, weights, windows);
                    let y = graph.leaky(y, LEAK);
                    let y = dropout.of(graph, y);
                    let channels = graph.shape(y)[1];
                    x = graph.reshape(y, line.count() * channels);
                }
                answer.of(graph, weights, x)
            }
            DiscriminatorBody::Rnn { columns, asked: from_asked, unit, answer } => {
                let packs = graph.shape(row)[0] / self.pack;
                let mut state = match (from_asked, asked) {
                    (Some(layer), Some(asked)) => {
                        let width = graph.shape(asked)[1] * self.pack;
                        let asked = graph.reshape(asked, width);
                        let state = layer.of(graph, weights, asked);
                        graph.tanh(state)
                    }
                    _ => graph.filled([packs, STATE], 0.0),
                };
                for (columns, layer) in columns {
                    let column = graph.columns(row, columns.clone());
                    let column = graph.reshape(column, self.pack * columns.len());
                    let told = layer.of(graph, weights, column);
                    let told = graph.leaky(told, LEAK);
                    state = unit.step(graph, weights, told, state);
                }
                let state = dropout.of(graph, state);
                answer.of(graph, weights, state)
            }
        }
    }

    /// Rows and what was asked, side by side, and so the rows of a pack.
    fn packed(&self, graph: &mut Graph, row: Var, asked: Option<Var>) -> Var {
        let all = match asked {
            Some(asked) => graph.join(&[row, asked]),
            None => row,
        };
        let width = graph.shape(all)[1];
        graph.reshape(all, self.pack * width)
    }
}

impl Compact {
    /// The columns of each block's choices and of its number, in compact rows: of numbers first, then of choices, by block.
    fn by_block(&self, features: &Features) -> Vec<Range<usize>> {
        let mut at = features.numbers;
        let choices = features.blocks.iter().map(|block| {
            let start = at;
            at += if block.choices.len() > LISTED { EMBEDDED } else { block.choices.len() };
            start..at
        });
        let choices: Vec<Range<usize>> = choices.collect();
        let numbers = (features.numbers > 0).then_some(0..features.numbers);
        numbers.into_iter().chain(choices).collect()
    }
}
