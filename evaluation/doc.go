// Package evaluation asks a model every sample of the test part, computes the figures,
// compares two models on the same samples, and decides whether the second is promoted.
//
//	base, err := evaluation.Run(ctx, model, tokenizer, samples, options, session) // adapter off
//	retrained, err := evaluation.Run(…)                                           // adapter on
//	base.Save("evaluation/base.json")
//	result, err := evaluation.Compare(base, retrained, compareOptions)
//	evaluation.WriteReport("ab_test", result, reportData)
//	fmt.Print(result.Table())
//
// # How a sample is decided
//
// The model answers the prompt greedily. Its own think-task is cut out of that answer, and
// the context "<think-task>…</think-task><think-safety>decision: " put behind the prompt, with the line breaks
// that the answer has there; the four labels, each with the token that closes it, are scored as
// continuations of that context. Exactly one of the four closed labels comes, so their probabilities are compared
// as they are: plain sums of log-probabilities, without normalising by length. Softmax over the four
// is the confidence, and the likeliest is the decision. Equal ones go to the more cautious label.
//
// An answer without a closed think-task (a model that does not know the form, or that was cut
// off) gets one: the first Options.FallbackTokens tokens of what it wrote, with the form's tags
// taken out. Figures.OwnThinkTaskRate says how often that was not needed.
//
// Contexts and labels are tokenised as in training: context, label and what follows it as one text behind
// the assistant's header, split only afterwards, at the longest common prefix of the four. A label
// tokenised alone would begin with another token than the same label after a space.
//
// # Caveats
//
//   - Accuracy, F1 and the safety rates follow the scored decision; the decision written
//     in the answer has generated_accuracy and agreement_rate.
//   - Latency is that of an answer inside its batch, not of one asked alone.
//   - Leaked thinking: see leaked.
package evaluation
