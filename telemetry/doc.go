// Package telemetry measures a run: its pace, its memory, and the load of its GPU. It writes
// performance_report.json, whose format is defined by the types of this package alone.
package telemetry
