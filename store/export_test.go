package store

// SealedColumns is how many columns hold sealed values.
var SealedColumns = len(sealedColumns)
