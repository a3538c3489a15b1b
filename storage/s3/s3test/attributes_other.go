//go:build !linux

package s3test

// hasAttributes is not asked elsewhere: the gateway then keeps its attributes
// in a folder.
func hasAttributes(string) bool { return false }
