// Package operator checks what an operator may do to a running instance
// without losing anything: look into its catalog with the sqlite3 shell, while
// it runs and while it is down. It holds tests only.
package operator
