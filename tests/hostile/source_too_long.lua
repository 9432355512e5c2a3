-- A source longer than sources may be.
-- load: policy|limit|time
--[[
--@ repeat 90000 a comment of fifty bytes that says nothing at all
]]
return function() end
