-- Ends a session. ARGV: id, fence, operation.
local id, seen, operation = ARGV[1], ARGV[2], ARGV[3]
local header, tombstone = look_up(id)
if tombstone and sub(tombstone, 15) == REMOVED .. operation then
  advance()
  return { 'done' }
end
local _, refused = writable(id)
if refused then
  advance()
  return refused
end
if fence(header) ~= seen then
  advance()
  return fenced(id, header)
end
local player = player_of(stored_body(id))
local left = ids_without(player, id)
advance()
end_session(id, header, REMOVED, operation)
write_linked(player, left)
return { 'done' }
