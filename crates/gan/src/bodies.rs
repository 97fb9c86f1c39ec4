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

use crate::conditions::Asked;
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
#[derive(Debug, Clone)]
pub(crate) struct Prior {
    /// `[rows, NOISE]`
    pub(crate) noise: Var,
    pub(crate) asked: Option<Asked>,
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
    pieces: Vec<Columns>,
    width: usize,
}

#[derive(Debug, Clone)]
enum Columns {
    Kept(Range<usize>),
    Embedded(Range<usize>, Matrix),
}

impl Compact {
    /// For columns that follow each other, `kept` ones first, then choices.
    fn new(layout: &mut Layout, kept: usize, choices: impl Iterator<Item = usize>) -> Compact {
        let (mut pieces, mut start, mut at, mut width) = (Vec::new(), 0, kept, 0);
        for count in choices {
            if count > LISTED {
                if at > start {
                    pieces.push(Columns::Kept(start..at));
                    width += at - start;
                }
                pieces.push(Columns::Embedded(at..at + count, layout.matrix(count, EMBEDDED)));
                width += EMBEDDED;
                start = at + count;
            }
            at += count;
        }
        if at > start {
            pieces.push(Columns::Kept(start..at));
            width += at - start;
        }
        Compact { pieces, width }
    }

    fn of(&self, graph: &mut Graph, weights: &Weights, x: Var) -> Var {
        if let [Columns::Kept(_)] = self.pieces[..] {
            return x;
        }
        let one = |piece: &Columns, graph: &mut Graph| match piece {
            Columns::Kept(columns) => graph.columns(x, columns.clone()),
            Columns::Embedded(columns, matrix) => {
                let choice = graph.columns(x, columns.clone());
                graph.product(choice, weights.of(*matrix))
            }
        };
        let parts: Vec<Var> = self.pieces.iter().map(|piece| one(piece, graph)).collect();
        graph.join(&parts)
    }
}

/// A layer of several inputs that is told what is asked beside these: a row of weights for each place of [`Asked`].
#[derive(Debug, Clone)]
struct ToldLayer {
    weights: Vec<Matrix>,
    bias: Matrix,
    asked: Option<Matrix>,
}

impl ToldLayer {
    fn new(layout: &mut Layout, inputs: &[usize], asked: usize, outputs: usize) -> ToldLayer {
        let all = inputs.iter().sum();
        ToldLayer {
            weights: inputs.iter().map(|width| layout.part(*width, outputs, all)).collect(),
            bias: layout.row(outputs, 0.0),
            asked: (asked > 0).then(|| layout.part(asked, outputs, all)),
        }
    }

    fn of(&self, graph: &mut Graph, weights: &Weights, inputs: &[Var], asked: Option<&Asked>) -> Var {
        let products: Vec<(Var, Var)> = inputs.iter().zip(&self.weights).map(|(x, w)| (*x, weights.of(*w))).collect();
        let y = graph.linear_of(&products, weights.of(self.bias));
        match self.asked.zip(asked) {
            Some((matrix, asked)) => {
                let told = of_asked(graph, weights, matrix, asked, graph.shape(y)[0]);
                graph.add(y, told)
            }
            None => y,
        }
    }
}

/// The rows of weights at the places of what is asked, `[rows, outputs]`, added up where several places belong to a row.
fn of_asked(graph: &mut Graph, weights: &Weights, matrix: Matrix, asked: &Asked, rows: usize) -> Var {
    let told = graph.take(weights.of(matrix), asked);
    let of_row = asked.len() / rows;
    match of_row {
        1 => told,
        _ => graph.scatter(told, &(0..asked.len()).map(|at| (at / of_row) as u32).collect(), rows),
    }
}

/// Makes rows.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    pub(crate) layout: Layout,
    body: GeneratorBody,
    numbers: usize,
    spans: Spans,
    /// For each block its number's column and its choices.
    blocks: Vec<(Option<usize>, Range<usize>)>,
}

#[derive(Debug, Clone)]
enum GeneratorBody {
    Mlp { layers: Vec<(ToldLayer, Norm)>, head: ToldLayer },
    Cnn { start: ToldLayer, grow: (Matrix, Norm), mix: (Matrix, Norm), head: ToldLayer },
    Rnn { start: ToldLayer, context: ToldLayer, unit: Recurrent, heads: Vec<(Linear, Linear)> },
}

impl Generator {
    /// `asked` is the number of places that can be asked for.
    pub(crate) fn new(body: Body, features: &Features, asked: usize) -> Generator {
        let mut layout = Layout::default();
        let layout_ref = &mut layout;
        let body = match body {
            Body::Mlp => {
                let mut inputs = vec![NOISE];
                let layers = (0..2).map(|_| {
                    let layer = (ToldLayer::new(layout_ref, &inputs, asked, WIDTH), Norm::new(layout_ref, WIDTH));
                    inputs.push(WIDTH);
                    layer
                });
                let layers = layers.collect();
                GeneratorBody::Mlp { layers, head: ToldLayer::new(layout_ref, &inputs, asked, features.width()) }
            }
            Body::Cnn => GeneratorBody::Cnn {
                start: ToldLayer::new(layout_ref, &[NOISE], asked, PLACES / 2 * 2 * CHANNELS),
                grow: (layout_ref.matrix(2 * CHANNELS, 4 * CHANNELS), Norm::new(layout_ref, CHANNELS)),
                mix: (layout_ref.matrix(3 * CHANNELS, CHANNELS), Norm::new(layout_ref, CHANNELS)),
                head: ToldLayer::new(layout_ref, &[PLACES * CHANNELS, NOISE], asked, features.width()),
            },
            Body::Rnn => {
                let start = ToldLayer::new(layout_ref, &[NOISE], asked, STATE);
                let context = ToldLayer::new(layout_ref, &[NOISE], asked, TOLD);
                let unit = Recurrent::new(layout_ref, 2 * TOLD, STATE);
                let heads = features.blocks.iter().map(|block| {
                    let width = usize::from(block.number.is_some()) + block.choices.len();
                    (Linear::new(layout_ref, STATE, width), Linear::new(layout_ref, width, TOLD))
                });
                GeneratorBody::Rnn { start, context, unit, heads: heads.collect() }
            }
        };
        let blocks = features.blocks.iter().map(|block| (block.number, block.choices.clone())).collect();
        Generator { layout, body, numbers: features.numbers, spans: features.spans.clone(), blocks }
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
    pub(crate) fn make(&self, graph: &mut Graph, weights: &Weights, prior: &Prior, moments: &mut Moments) -> Made {
        let (input, asked) = (prior.noise, prior.asked.as_ref());
        match &self.body {
            GeneratorBody::Mlp { layers, head } => {
                let mut inputs = vec![input];
                for (layer, norm) in layers {
                    let y = layer.of(graph, weights, &inputs, asked);
                    let y = norm.of(graph, weights, y, moments);
                    inputs.push(graph.leaky(y, 0.0));
                }
                let out = head.of(graph, weights, &inputs, asked);
                self.finish(graph, out, prior.gumbel)
            }
            GeneratorBody::Cnn { start, grow, mix, head } => {
                let x = start.of(graph, weights, &[input], asked);
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
                let out = head.of(graph, weights, &[mixed, input], asked);
                self.finish(graph, out, prior.gumbel)
            }
            GeneratorBody::Rnn { start, context, unit, heads } => {
                let state = start.of(graph, weights, &[input], asked);
                let state = graph.tanh(state);
                let context = context.of(graph, weights, &[input], asked);
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
    /// Units by what comes in, some of them left out.
    fn leaky(&mut self, graph: &mut Graph, x: Var) -> Var {
        match &mut self.0 {
            Some(stream) => {
                let mask = mask(graph.value(x).len(), stream);
                graph.leaky_masked(x, LEAK, &mask)
            }
            None => graph.leaky(x, LEAK),
        }
    }

    fn of(&mut self, graph: &mut Graph, x: Var) -> Var {
        let Some(stream) = &mut self.0 else { return x };
        let mask = mask(graph.value(x).len(), stream);
        // A slope of 1: the mask alone.
        graph.leaky_masked(x, 1.0, &mask)
    }
}

/// Tells packs of real rows from packs of made ones.
#[derive(Debug, Clone)]
pub(crate) struct Discriminator {
    pub(crate) layout: Layout,
    pack: usize,
    row: Compact,
    /// Places that can be asked for.
    asked: usize,
    body: DiscriminatorBody,
}

#[derive(Debug, Clone)]
enum DiscriminatorBody {
    Mlp { first: ToldLayer, second: Linear, answer: Linear },
    Cnn { start: ToldLayer, layers: Vec<(Linear, Windows)>, answer: Linear },
    Rnn { columns: Vec<(Range<usize>, Linear)>, asked: Option<(Matrix, Matrix)>, unit: Recurrent, answer: Linear },
}

impl Discriminator {
    /// `asked` is the number of places that can be asked for.
    pub(crate) fn new(body: Body, features: &Features, asked: usize, pack: usize) -> Discriminator {
        let mut layout = Layout::default();
        let blocks = || features.blocks.iter().map(|block| block.choices.len());
        let row = Compact::new(&mut layout, features.numbers, blocks());
        let inputs = pack * row.width;
        let layout_ref = &mut layout;
        let body = match body {
            Body::Mlp => DiscriminatorBody::Mlp {
                first: ToldLayer::new(layout_ref, &[inputs], pack * asked, WIDTH),
                second: Linear::new(layout_ref, WIDTH, WIDTH),
                answer: Linear::new(layout_ref, WIDTH, 1),
            },
            Body::Cnn => {
                let windows =
                    |places: usize, channels: usize| Windows { places, channels, width: 4, stride: 2, margin: 1 };
                let layers = [windows(PLACES, CHANNELS), windows(PLACES / 2, 2 * CHANNELS)];
                DiscriminatorBody::Cnn {
                    start: ToldLayer::new(layout_ref, &[inputs], pack * asked, PLACES * CHANNELS),
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
                asked: (asked > 0).then(|| (layout_ref.matrix(pack * asked, STATE), layout_ref.row(STATE, 0.0))),
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
        (rows, asked): (Var, Option<&Asked>),
        dropout: &mut Dropout,
    ) -> Var {
        let row = self.row.of(graph, weights, rows);
        let packs = graph.shape(row)[0] / self.pack;
        let asked = asked.map(|asked| self.packed(asked));
        let asked = asked.as_ref();
        let whole = |graph: &mut Graph| match self.pack {
            1 => row,
            pack => graph.reshape(row, pack * self.row.width),
        };
        match &self.body {
            DiscriminatorBody::Mlp { first, second, answer } => {
                let x = whole(graph);
                let x = first.of(graph, weights, &[x], asked);
                let x = dropout.leaky(graph, x);
                let x = second.of(graph, weights, x);
                let x = dropout.leaky(graph, x);
                answer.of(graph, weights, x)
            }
            DiscriminatorBody::Cnn { start, layers, answer } => {
                let x = whole(graph);
                let x = start.of(graph, weights, &[x], asked);
                let mut x = graph.leaky(x, LEAK);
                for (layer, line) in layers {
                    let windows = graph.unfold(x, *line);
                    let y = layer.of(graph, weights, windows);
                    let y = dropout.leaky(graph, y);
                    let channels = graph.shape(y)[1];
                    x = graph.reshape(y, line.count() * channels);
                }
                answer.of(graph, weights, x)
            }
            DiscriminatorBody::Rnn { columns, asked: from_asked, unit, answer } => {
                let mut state = match (from_asked, asked) {
                    (Some((matrix, bias)), Some(asked)) => {
                        let state = of_asked(graph, weights, *matrix, asked, packs);
                        let state = graph.add_row(state, weights.of(*bias));
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

    /// Places of what is asked of the rows of packs, those of each row in a pack apart.
    fn packed(&self, asked: &Asked) -> Asked {
        match self.pack {
            1 => asked.clone(),
            pack => asked.iter().enumerate().map(|(at, place)| (at % pack * self.asked) as u32 + place).collect(),
        }
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
