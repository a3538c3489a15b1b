//go:build !linux

package gatewaytest

// hasAttributes is not asked elsewhere: the gateway then keeps its attributes
// in a folder.
func hasAttributes(string) bool { return false }
