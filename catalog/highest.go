package catalog

// HighestLevel is the highest level that this program understands, with all
// those below it. What belongs to a level, `catalog/kinds.go` and the table in
// docs/formats.md say.
const HighestLevel = 2
