// Package servetest plays a model for tests.
package servetest
