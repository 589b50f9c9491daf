// Package quadruple is the form in which a model thinks and answers:
//
//	<think-task>…</think-task><think-safety>decision: LABEL
//	…</think-safety><think-policy>…</think-policy><final>…</final>
//
// Its labels, tags and decision line are defined here alone, for the dataset that teaches the form, the
// evaluation that measures it, and the server: only what stands inside <final> may leave the process.
//
// Parse and Split read a finished text strictly, String writes one. Task, CutDecision and Written find what
// there is of the form in a text that may be malformed.
//
// Filter is the one rule of what may leave, of a stream and of a finished text. Leaked, by which the evaluation measures
// a model, reports whether it had to cut an answer: what is gated is what is served.
package quadruple
