-- The live sessions of a player, oldest first. ARGV: player.
local found, list = { 'done', now }, linked(ARGV[1])
if recovering(list) then return recovering(list) end
for _, session in ipairs(list) do
  if is_live(session.header) then
    found[#found + 1] = session.id
    found[#found + 1] = session.header
    found[#found + 1] = stored_body(session.id)
  end
end
return found
