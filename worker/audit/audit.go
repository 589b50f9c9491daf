// Package audit is the commands that verify an audit log and prove what is in it.
package audit
