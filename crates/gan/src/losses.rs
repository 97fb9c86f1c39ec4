//! What generator and discriminator minimise.
//!
//! With answers d (for [`Loss::Original`] and [`Loss::R1`] the logits of D):
//!
//! ```text
//! original, r1   L_D = -log D(x) - log(1 - D(G(z)))        L_G = -log D(G(z))          Goodfellow et al. 2014
//! r1                 + γ/2 · |∇ d(x)|², in every fourth step four times that            Mescheder et al. 2018, eq. 9
//! wgan-gp        L_D = d(G(z)) - d(x)                      L_G = -d(G(z))              Arjovsky et al. 2017
//!                    + λ · (|∇ d(x̂)| - 1)²,  x̂ between x and G(z)                      Gulrajani et al. 2017, eq. 3
//! ```

use twinmart_nets::graph::{Graph, Var};
use twinmart_tables::Loss;

/// Weight of the penalty between real and made examples.
const LAMBDA: f32 = 10.0;
/// Weight of the penalty at real examples.
const GAMMA: f32 = 0.1;
/// Steps to each one with a penalty at real examples, which weighs as many times as much (Karras et al., "Analyzing and
/// improving the image quality of StyleGAN", CVPR 2020, §3.2, "lazy regularization"; rates and memories stay as they are).
const LAZY: u64 = 4;

/// The discriminator's loss from its answers on real and made examples, `[n, 1]` each: one number.
pub(crate) fn of_discriminator(graph: &mut Graph, loss: Loss, real: Var, made: Var) -> Var {
    let (real, made) = match loss {
        Loss::Original | Loss::R1 => {
            let real = graph.scale(real, -1.0);
            (graph.softplus(real), graph.softplus(made))
        }
        Loss::WganGp => (graph.scale(real, -1.0), made),
    };
    let (real, made) = (graph.mean(real), graph.mean(made));
    graph.add(real, made)
}

/// The generator's loss from the answers on its examples, `[n, 1]`: one number.
pub(crate) fn of_generator(graph: &mut Graph, loss: Loss, made: Var) -> Var {
    let wrong = graph.scale(made, -1.0);
    let wrong = match loss {
        Loss::Original | Loss::R1 => graph.softplus(wrong),
        Loss::WganGp => wrong,
    };
    graph.mean(wrong)
}

/// The discriminator's loss on real and made examples, as it is told and with its penalty; `judge` gives its answers, and
/// `middle` are examples between both where the penalty is taken there.
pub(crate) fn of_examples(
    graph: &mut Graph,
    (loss, penalty_at): (Loss, PenaltyAt),
    [real, made]: [Var; 2],
    middle: Option<Var>,
    mut judge: impl FnMut(&mut Graph, Var) -> Var,
) -> (Var, Var) {
    let (of_real, of_made) = (judge(graph, real), judge(graph, made));
    let told = of_discriminator(graph, loss, of_real, of_made);
    let penalized = match penalty_at {
        PenaltyAt::Nowhere => None,
        PenaltyAt::Real => Some((of_real, real)),
        PenaltyAt::Between => middle.map(|middle| (judge(graph, middle), middle)),
    };
    let all = match penalized {
        Some((answers, examples)) => {
            let penalty = penalty(graph, loss, answers, &[examples]);
            graph.add(told, penalty)
        }
        None => told,
    };
    (told, all)
}

/// Where the penalty of a loss is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PenaltyAt {
    Nowhere,
    Real,
    Between,
}

/// Where the penalty of a loss is taken in the discriminator's step of a number.
pub(crate) fn penalty_at(loss: Loss, step: u64) -> PenaltyAt {
    match loss {
        Loss::Original => PenaltyAt::Nowhere,
        Loss::R1 if !step.is_multiple_of(LAZY) => PenaltyAt::Nowhere,
        Loss::R1 => PenaltyAt::Real,
        Loss::WganGp => PenaltyAt::Between,
    }
}

/// The penalty on the gradient of the answers, `[n, 1]`, by the examples that they are of: one matrix or several, of as many
/// numbers for each answer. One number.
pub(crate) fn penalty(graph: &mut Graph, loss: Loss, answers: Var, examples: &[Var]) -> Var {
    let answered = graph.shape(answers)[0];
    let sum = graph.sum(answers);
    let slopes = graph.gradients(sum, examples);
    let mut squares: Option<Var> = None;
    for slope in slopes {
        let [rows, columns] = graph.shape(slope);
        let slope = graph.reshape(slope, rows * columns / answered);
        let square = graph.multiply(slope, slope);
        let square = graph.sum_columns(square);
        squares = Some(squares.map_or(square, |sum| graph.add(sum, square)));
    }
    let squares = squares.unwrap_or_else(|| graph.filled([answered, 1], 0.0));
    let mean = |graph: &mut Graph, x: Var, weight: f32| {
        let mean = graph.mean(x);
        graph.scale(mean, weight)
    };
    match loss {
        Loss::Original => graph.filled([1, 1], 0.0),
        Loss::R1 => mean(graph, squares, LAZY as f32 * GAMMA / 2.0),
        Loss::WganGp => {
            // The root has no slope at zero.
            let positive = graph.affine(squares, 1.0, 1e-12);
            let length = graph.power(positive, 0.5);
            let beyond = graph.affine(length, 1.0, -1.0);
            let beyond = graph.multiply(beyond, beyond);
            mean(graph, beyond, LAMBDA)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(of: impl FnOnce(&mut Graph, Var, Var) -> Var) -> f32 {
        let mut graph = Graph::new();
        let (real, made) = (graph.given(vec![0.5, -1.0], 1), graph.given(vec![2.0, 0.0], 1));
        let loss = of(&mut graph, real, made);
        graph.scalar(loss)
    }

    #[test]
    fn losses_are_those_computed_by_hand() {
        // D = sigmoid: .62246, .26894 on real, .88080, .5 on made ones.
        // L_D = -(ln .62246 + ln .26894) / 2 - (ln .11920 + ln .5) / 2 = .893669 + 1.410037
        for loss in [Loss::Original, Loss::R1] {
            let found = value(|g, real, made| of_discriminator(g, loss, real, made));
            assert!((found - 2.303_706).abs() < 1e-5, "{found}");
            // L_G = -(ln .88080 + ln .5) / 2
            let found = value(|g, _, made| of_generator(g, loss, made));
            assert!((found - 0.410_038).abs() < 1e-5, "{found}");
        }
        let found = value(|g, real, made| of_discriminator(g, Loss::WganGp, real, made));
        assert!((found - 1.25).abs() < 1e-6, "{found}");
        let found = value(|g, _, made| of_generator(g, Loss::WganGp, made));
        assert!((found + 1.0).abs() < 1e-6, "{found}");
    }

    /// d(x) = ½ |x|² has the gradient x.
    fn penalty_of(loss: Loss, x: &[f32]) -> f32 {
        let mut graph = Graph::new();
        let x = graph.given(x.to_vec(), 2);
        let square = graph.multiply(x, x);
        let answers = graph.sum_columns(square);
        let answers = graph.scale(answers, 0.5);
        let penalty = penalty(&mut graph, loss, answers, &[x]);
        graph.scalar(penalty)
    }

    #[test]
    fn penalties_are_those_of_a_known_gradient() {
        // Gradients of lengths 5 and 1.
        let x = [3.0, 4.0, 0.6, 0.8];
        assert!((penalty_of(Loss::WganGp, &x) - 10.0 * (16.0 + 0.0) / 2.0).abs() < 1e-4);
        assert!((penalty_of(Loss::R1, &x) - 4.0 * 0.05 * (25.0 + 1.0) / 2.0).abs() < 1e-4);
        assert_eq!(penalty_of(Loss::Original, &x), 0.0);
    }
}
