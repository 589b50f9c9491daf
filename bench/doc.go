// Command bench measures this engine.
//
//	bench compare   a LoRA step of this engine and of PyTorch + PEFT by turns, the tokenizer, the machine's peak
//	bench diff      two results of compare, as a table of ratios
//	bench cuda      the comparison on a GPU, at Phi-3.5-mini's size, with decoding and the cost of a checkpoint
//	bench full      a model of Phi-3.5-mini's size: load, two optimizer steps, peak memory
//	bench llama     generation by this engine and by llama.cpp, by turns
//	bench export    a checkpoint with random numbers exported: seconds, and memory beyond mapped files
//	bench estimate  the time of a step and of decoding on a GPU that nobody has, and beside what one measured
//	bench plan      the memory of a training run by purpose, from its shape alone
//	bench save      what a checkpoint costs the training
//	bench tokens    the tokenizer's speed
//	bench think     a server under many clients, also while models are promoted
//	bench score     log-probabilities of given tokens, for demo/verify_export.py
//	bench write     a model folder with random weights
//
// compare, cuda, full and llama take each measurement in a process of its own, so that memory and threads of one do not touch
// the next: PyTorch's by peft_train.py, this engine's by bench step, stall, decode, bandwidth and products, llama.cpp's by bench llama-decode.
//
// Every command prints lines for people and, last, one line of JSON. run.sh, full.sh, cuda.sh and llama.sh build and start it.
package main
