// Package serve is the process that answers: a promoted model behind a guard, its HTTP routes, its audit log.
package serve
