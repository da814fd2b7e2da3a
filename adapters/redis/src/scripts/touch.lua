-- Extends the lives of sessions. ARGV: for each, id, fence, ttl. Answers each in order: 0 renewed,
-- the reason of its end as a negative number, 1 unknown, 2 unreadable; or the header and the owner of
-- what stands under another fence.
local answers = {}
local renewed = {}
for i = 1, #ARGV, 3 do
  local id, seen, ttl = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local readable, header, tombstone = pcall(look_up, id)
  local answer
  if not readable then
    answer = 2
  elseif tombstone then
    answer = -reason(tombstone)
  elseif not header then
    answer = 1
  elseif has(header, UNLINKED) then
    answer = -2
  elseif fence(header) ~= seen then
    answer = { header, owner_of(id, header) }
  else
    answer = 0
    renewed[#renewed + 1] = { id, extended(header, ttl) }
  end
  answers[#answers + 1] = answer
end
advance()
for _, session in ipairs(renewed) do write_header(session[1], session[2]) end
return { 'done', answers }
