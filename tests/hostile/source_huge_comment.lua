-- A comment of half a megabyte.
-- load: ok|time
-- call: ok
--[[
--@ repeat 10000 a comment of fifty bytes that says nothing at all
]]
return function() end
