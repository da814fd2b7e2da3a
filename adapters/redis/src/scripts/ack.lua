-- Ends an expired session that was taken, or hides it for so many ms. ARGV: id, token, ms or ''.
local id, token, hidden = ARGV[1], ARGV[2], tonumber(ARGV[3])
local header, tombstone = look_up(id)
if not header then
  advance()
  if not tombstone then return { 'missing' } end
  if not hidden and sub(tombstone, 15) == EXPIRED .. token then return { 'done' } end
  return { 'ended', reason(tombstone) }
end
if not has(header, TAKEN) or sub(header, 80, 95) ~= token then
  advance()
  return { 'void' }
end
if hidden then
  advance()
  write_header(id, sub(header, 1, 95) .. pack('<I8', now + hidden) .. sub(header, 104))
  return { 'done' }
end
local player = player_of(stored_body(id))
local left = not has(header, UNLINKED) and ids_without(player, id)
advance()
end_session(id, header, EXPIRED, token)
if left then write_linked(player, left) end
return { 'done' }
