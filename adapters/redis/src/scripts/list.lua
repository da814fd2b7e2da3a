-- The live sessions of a partition in the order of their ids' bytes. ARGV: the id of this partition
-- after which to go on or nothing, the incarnation and the node of an owner or nothing ('*' for the node: expired
-- sessions as well), how many, after
-- how many bytes to stop, the first two bytes of this partition's ids.
-- Answers whether there are more, and for each its id, header and body; what cannot be read comes as
-- it is.
local after, owner, node, limit, room =
  ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local ids = {}
for _, id in ipairs(call('ZRANGE', D, 0, -1)) do
  if #id == 18 and sub(id, 1, 2) == ARGV[6] and (after == '' or precedes(after, id)) then
    ids[#ids + 1] = id
  end
end
table.sort(ids, precedes)
local answer, count, more = { 'done', now, 0 }, 0, 0
for _, id in ipairs(ids) do
  local readable, header, tombstone = pcall(look_up, id)
  local listed, body
  if not readable then
    listed, header, body = owner == '', call('HGET', S, id), ''
  elseif header and (is_live(header) or node == '*') then
    body = call('HGET', S, id .. 'b') or ''
    listed = owner == '' or (incarnation(header) == owner and owner_of(id, header) == node)
  end
  if listed then
    if count == limit or room <= 0 then
      more = 1
      break
    end
    count = count + 1
    room = room - 163 - #body
    answer[#answer + 1] = id
    answer[#answer + 1] = header
    answer[#answer + 1] = body
  end
end
answer[3] = more
return answer
