// Package dir keeps objects as files in a folder. An object is written to a
// temporary file, fsynced, renamed to its key without replacing anything, and
// its folder is fsynced: it is there whole or not at all, also after a power
// cut.
//
// One program uses a folder at a time in normal operation; a second one does no
// harm to objects and small objects alike. The package must never remove or
// replace an object except by Delete and WriteSmall, and never touches files
// outside its folder.
package dir
