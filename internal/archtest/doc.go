// Package archtest keeps the import law: who may import whom. Its test reads the imports of every package from the go command.
package archtest
