//! One sentence for every number of the report; the page shows it on hover or click.

use std::collections::BTreeMap;

const DEFINITIONS: &[(&str, &str)] = &[
    (
        "column_shapes",
        "How close the distribution of each single column is, averaged: 1 − the largest gap of the cumulative distributions (ordered columns) or 1 − half the sum of differences of shares (categories). 1 is equal.",
    ),
    (
        "column_pairs",
        "How close the relation of each pair of columns is, averaged: 1 − half the difference of Spearman correlations (two ordered columns) or 1 − half the sum of differences of the joint shares, in bins cut by the real data. 1 is equal.",
    ),
    (
        "detection_auc",
        "Boosted trees try to tell real from synthetic rows (in a shop: people, by attributes and behaviour) in five folds with equal numbers; this is the area under their ROC curve. 0.5 means they cannot, 1 that they always can.",
    ),
    (
        "accuracy",
        "1 − half the sum of differences of binned shares, over all single columns and all pairs. Read it against its ceiling.",
    ),
    ("accuracy_ceiling", "The accuracy that two real samples of these sizes would get by chance alone."),
    (
        "item_popularity_spearman",
        "Rank correlation of how many people had each item, over items that at least five real people had. 1 means the same best-sellers in the same order.",
    ),
    (
        "item_gini_difference",
        "How much more (+) or less (−) the twin's sales concentrate on few items: difference of Gini coefficients of events per item.",
    ),
    (
        "item_gini",
        "Concentration of events on few items: 0 when all items sell equally, towards 1 when one item sells all.",
    ),
    (
        "cooccurrence_spearman",
        "Rank correlation of how many people had both items of a pair, over all pairs of the 500 most popular items.",
    ),
    ("repeat_rate", "Share of events in which a person has an item again."),
    ("repeat_rate_difference", "Repeat rate of the twin minus that of the real data."),
    (
        "gap_ks",
        "Largest gap between the cumulative distributions of the time from one moment of a person's history to the next. 0 is equal.",
    ),
    ("length_ks", "Largest gap between the cumulative distributions of events per person. 0 is equal."),
    ("sessions_ks", "Largest gap between the cumulative distributions of sessions (baskets) per person. 0 is equal."),
    ("basket_size_ks", "Largest gap between the cumulative distributions of events per session (basket). 0 is equal."),
    (
        "hour_of_week_tv",
        "Half the sum of differences of the shares of events in each of the 168 hours of the week. 0 is equal.",
    ),
    ("catalogue_coverage", "Share of the catalogue that has at least one event."),
    (
        "tstr",
        "Train on synthetic, test on real: quality of a model on real held-out rows when it learned from real rows, from the twin, or from both.",
    ),
    (
        "auc",
        "Area under the ROC curve: the chance that a positive row gets a higher score than a negative one. 0.5 is guessing.",
    ),
    ("r2", "Share of the target's variance that the model explains on held-out rows. 0 is predicting the mean."),
    (
        "precision",
        "Share of the positive answers of a classifier that are right. Of two classes the rarer is positive; of more, the mean over classes.",
    ),
    (
        "recall",
        "Share of the positive rows that a classifier finds. Of two classes the rarer is positive; of more, the mean over classes.",
    ),
    (
        "f1",
        "Harmonic mean of precision and recall: high only where both are. Of two classes the rarer is positive; of more, the mean over classes.",
    ),
    (
        "ranking",
        "Quality of a recommender for real held-out people when it learned from real people, from the twin, or from both.",
    ),
    (
        "ndcg@10",
        "Normalised discounted cumulative gain: how many of the items a person really took are among the first ten recommended, earlier places counting more. 1 is perfect.",
    ),
    (
        "kept",
        "Share of the gain over plain popularity that a recommender keeps when it learns from the twin instead of real people: (twin − popularity) / (real − popularity).",
    ),
    (
        "model_rank_kendall_tau",
        "Agreement on which recommender is better: +1 when the twin orders all recommenders as the real data do, −1 when in reverse.",
    ),
    (
        "dcr_share",
        "Share of synthetic records that are closer to a training record than to any of equally many held-out records; ties count half. 0.5 means no closer to the people learned from than to strangers. Necessary, not sufficient: never a guarantee.",
    ),
    (
        "exact_matches",
        "Share of synthetic rows (in a shop: whole histories, item by item) that equal a training one. Compare with how often real strangers match by chance.",
    ),
    (
        "exact_matches_holdout",
        "Share of real records that equal a training record although they were not learned from: what chance alone gives.",
    ),
    (
        "membership_auc",
        "An attacker guesses who was learned from by how close each real person is to the twin; this is the area under the ROC curve of the guess. 0.5 is guessing blindly. It measures this attack only: never a guarantee.",
    ),
    (
        "epsilon",
        "ε of differential privacy, where the twin was made under it: the smaller, the less any one person can change the twin.",
    ),
    ("delta", "δ of differential privacy: the chance that the bound ε fails."),
    (
        "discriminator_loss",
        "What the discriminator minimised, averaged over an epoch, without the penalty on its gradient. It alone says little: look at how it moves with the generator's.",
    ),
    (
        "generator_loss",
        "What the generator minimised against the discriminator, averaged over an epoch. The discriminator changes too, so a rising loss need not mean worse rows.",
    ),
    (
        "discriminator_accuracy",
        "Share of held-out real examples and as many made ones that the discriminator tells apart. 0.5 is guessing: then it cannot tell them.",
    ),
    (
        "discriminator_precision",
        "Share of the examples that the discriminator takes for real which are real, among held-out real examples and as many made ones.",
    ),
    ("discriminator_recall", "Share of held-out real examples that the discriminator takes for real."),
    (
        "discriminator_f1",
        "Harmonic mean of the discriminator's precision and recall, among held-out real examples and as many made ones.",
    ),
    (
        "two_sample",
        "How unlike made and held-out real examples are after an epoch: half the sum of differences of their joint shares, in classes, averaged over pairs of parts. 0 is equal. Read it against what two real samples get.",
    ),
    (
        "two_sample_floor",
        "What two real samples of that size differ by in the two-sample statistic: the least that made examples can reach on average.",
    ),
    (
        "distances",
        "Distance of each record to its closest training record: synthetic records, and real people who were not learned from. A heap of the twin near zero means copies.",
    ),
];

/// Name of a number → its definition.
pub(crate) fn definitions() -> BTreeMap<String, String> {
    DEFINITIONS.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
}
