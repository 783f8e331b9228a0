// Package acceptance holds the scenarios that Postern is accepted by, each as a test of
// its name: through a simulated Exchange over HTTP, a real store, the engine and the
// pages. Nothing is replaced by a double.
package acceptance
