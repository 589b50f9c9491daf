// Package serve is the command that serves a promoted model.
package serve
