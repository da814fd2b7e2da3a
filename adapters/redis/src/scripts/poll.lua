-- What is new for a watcher. ARGV: number and tag of its resume point, or nothing; the version of the
-- load table that it was told, or nothing. Moves the lease clock on and reaps nothing. Answers the
-- heartbeat, the version of the load table, and either the whole membership, or changes and loads.
-- Who only looks needs no timing.
local heartbeat = look_at_timing()
local version = loads_state()
local changes
if ARGV[1] ~= '' then
  changes = changes_after(tonumber(ARGV[1]), ARGV[2], { reset = CHANGES_KEPT, page = CHANGES_TOLD })
end
local whole = not changes and membership(lag)
local loads = {}
if changes and #changes == 0 and ARGV[3] ~= '' and tonumber(ARGV[3]) ~= version then loads = { load_table() } end
advance()
if whole then return { 'reset', heartbeat or 0, version, whole } end
return { 'done', heartbeat or 0, version, changes, loads }
