"""Contract suites for whoever writes a service or a backend: subclass them in tests of your own, and supply the fixtures.

======================== ==================================================================
`stores.StoreContract`   what a store owes everybody
`runners.RunnerContract` what a runner owes the controller
`runners.ProgramContract` what a runner of real programs owes those programs besides
`services.ServiceContract` what a service owes the controller, without anything running
`pairs.PairContract`     what a service on a backend owes its user: launch, use, stop
======================== ==================================================================

`waiting` waits for something to become true, and `memory` has a store and a runner without files or processes. The suites need
pytest and anyio's plugin for it; the rest of the package does not import this one.
"""
