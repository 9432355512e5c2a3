-- More upvalues than a function may have.
-- load: syntax
--@ repeat 150 local v%d = 1
return function()
--@ repeat 150 local w%d = 1
return function() local _ = 0
--@ repeat 150 _ = _ + v%d
--@ repeat 150 _ = _ + w%d
end end
